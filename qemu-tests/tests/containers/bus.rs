//! The system bus from containers, by Debian's own `busctl`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keelson_os_build::qemu::{Forward, Protocol};
use keelson_qemu_tests::fetch::{free_port, get, get_within, until};
use keelson_qemu_tests::provisioned::{FIRST_ANSWER, Provisioned, boot};
use keelson_qemu_tests::registry::{Images, probe_beside};
use keelson_qemu_tests::{Environment, Lab};

const MANAGER: &str = "org.keelson.Manager1";
const PATH: &str = "/org/keelson/Manager1";
const UPDATE: &str = "org.keelson.Update1";
const UPDATE_PATH: &str = "/org/keelson/Update1";
const SOCKET: &str = "/run/dbus/system_bus_socket";

/// A container by the port it is asked at.
struct Container(u16);

impl Container {
    fn busctl(&self, seconds: u32, words: &[&str]) -> Result<String> {
        let words = words.join("|").replace(' ', "%20");
        get(self.0, &format!("/run?{seconds}|/usr/bin/busctl|--no-pager|{words}"))
    }

    /// It has to end well.
    fn good(&self, words: &[&str]) -> Result<String> {
        let answer = self.busctl(30, words)?;
        ensure!(answer.ends_with("exit status: 0\n"), "busctl {words:?}: {answer}");
        Ok(answer)
    }

    /// It has to be refused, with these words.
    fn bad(&self, words: &[&str], told: &str) -> Result<()> {
        let answer = self.busctl(30, words)?;
        ensure!(!answer.ends_with("exit status: 0\n"), "busctl {words:?}: {answer}");
        ensure!(answer.contains(told), "busctl {words:?}: {answer}");
        Ok(())
    }

    fn call(&self, words: &[&str]) -> Result<String> {
        self.good(&[&["call", MANAGER, PATH, MANAGER], words].concat())
    }

    fn property(&self, name: &str) -> Result<String> {
        self.good(&["get-property", MANAGER, PATH, MANAGER, name])
    }
}

fn document(images: &Images) -> String {
    let image = images.reference("busctl");
    let mount = format!("mounts = [{{ type = \"bind\", source = \"{SOCKET}\", target = \"{SOCKET}\" }}]");
    let containers = [
        ("operator", 80, "bus = \"operate\""),
        ("reader", 81, "bus = \"read\"\nuser = \"1000\""),
        ("stranger", 82, mount.as_str()),
        ("plain", 83, ""),
    ];
    let section = |(name, port, more): (&str, u16, &str)| {
        format!("[container.{name}]\nimage = \"{image}\"\nports = [\"{port}:80\"]\n{more}\n\n")
    };
    containers.map(section).concat()
}

/// A grant lists, introspects, calls and monitors; without one there is no way in; a look is no order.
pub fn granted(environment: &Environment) -> Result<()> {
    Lab::run(environment, "bus", |lab| {
        let images = Images::start(lab.directory())?;
        images.push("busctl", &probe_beside("systemd", "usr/bin/busctl")?)?;
        let ports = [free_port()?, free_port()?, free_port()?];
        let machine = boot(lab, images, document, |spec| {
            let forward = |(host, guest)| Forward {
                protocol: Protocol::Tcp,
                host,
                guest,
            };
            let others = ports.into_iter().zip([81, 82, 83]).map(forward);
            spec.forwards.get_or_insert_default().extend(others);
        })?;
        let [reader, stranger, plain] = ports.map(Container);
        let operator = Container(machine.port());
        for container in [&operator, &reader, &stranger, &plain] {
            get_within(container.0, "/ok", FIRST_ANSWER)?;
        }
        looks(&operator)?;
        looks(&reader)?;
        refusals(&reader, &stranger, &plain)?;
        orders(&operator)?;
        watches(&operator, &reader)?;
        reboots(&machine, &operator)
    })
}

fn looks(container: &Container) -> Result<()> {
    let listed = container.good(&["list"])?;
    ensure!(listed.contains(MANAGER), "{listed}");
    let shown = container.good(&["introspect", MANAGER, PATH])?;
    ensure!(
        shown.contains(".StartUnit") && shown.contains(".UnitStateChanged"),
        "{shown}"
    );
    let tree = container.good(&["tree", MANAGER])?;
    ensure!(tree.contains("/unit/netd"), "{tree}");
    let units = container.call(&["ListUnits"])?;
    ensure!(
        units.contains("\"runtimed\"") && units.contains("\"running\""),
        "{units}"
    );
    let unit = format!("{PATH}/unit/netd");
    let state = container.good(&["get-property", MANAGER, &unit, "org.keelson.Unit1", "State"])?;
    ensure!(state.contains("\"running\""), "{state}");
    let slot = container.property("Slot")?;
    ensure!(slot.contains("\"a\"") || slot.contains("\"b\""), "{slot}");
    ensure!(container.property("BootComplete")?.contains("true"));
    let update = container.good(&["get-property", UPDATE, UPDATE_PATH, UPDATE, "State"])?;
    ensure!(update.contains("committed") || update.contains("assessing"), "{update}");
    Ok(())
}

fn refusals(reader: &Container, stranger: &Container, plain: &Container) -> Result<()> {
    let orders: [&[&str]; 4] = [
        &["StopUnit", "s", "netd"],
        &["RestartUnit", "s", "netd"],
        &["Reboot", "s", "x"],
        &["PowerOff", "s", "x"],
    ];
    for order in orders {
        let words = [&["call", MANAGER, PATH, MANAGER], order].concat();
        reader.bad(&words, "needs bus = \"operate\"")?;
    }
    let back = ["call", UPDATE, UPDATE_PATH, UPDATE, "Rollback"];
    reader.bad(&back, "needs bus = \"operate\"")?;
    let own = [
        "call",
        "org.freedesktop.DBus",
        "/",
        "org.freedesktop.DBus",
        "RequestName",
        "su",
        "org.keelson.Spy",
        "0",
    ];
    reader.bad(&own, "denied")?;
    stranger.bad(&["list"], "not permitted")?;
    plain.bad(&["list"], "No such file")
}

fn orders(operator: &Container) -> Result<()> {
    operator.call(&["RestartUnit", "s", "journald"])?;
    let words = ["call", MANAGER, PATH, MANAGER, "StartUnit", "s", "nted"];
    operator.bad(&words, "there is no unit")
}

/// The reader watches while the operator acts.
fn watches(operator: &Container, reader: &Container) -> Result<()> {
    let seen = std::thread::scope(|scope| {
        let watch = scope.spawn(|| reader.busctl(20, &["monitor", "--json=short"]));
        while !watch.is_finished() {
            operator.call(&["RestartUnit", "s", "journald"])?;
            std::thread::sleep(Duration::from_secs(2));
        }
        watch.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))?
    })?;
    for word in ["RestartUnit", "UnitStateChanged", "PropertiesChanged"] {
        ensure!(seen.contains(word), "{word} was not seen: {seen}");
    }
    Ok(())
}

/// The reason is known after it, and the grant holds in the next boot.
fn reboots(machine: &Provisioned, operator: &Container) -> Result<()> {
    let before = operator.property("BootID")?;
    // The machine may go down before the answer is out.
    match operator.call(&["Reboot", "s", "tested by busctl"]) {
        Err(error) if !format!("{error:#}").contains("Connection reset") => return Err(error),
        _ => {}
    }
    let again = || operator.property("BootID");
    until("the next boot", FIRST_ANSWER, again, |id| *id != before)
        .with_context(|| format!("console:\n{}", machine.guest.machine.tail()))?;
    let words = operator.property("LastBootWords")?;
    ensure!(
        words.contains("tested by busctl") && words.contains("through bus"),
        "{words}"
    );
    Ok(())
}
