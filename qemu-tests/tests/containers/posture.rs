//! What each program may do, and what a container cannot.

use anyhow::{Context, Result, ensure};
use keelson_qemu_tests::segment::Segment;
use keelson_qemu_tests::{Environment, Lab, journal};

use keelson_qemu_tests::fetch::until;
use keelson_qemu_tests::provisioned::{AS_HOST, FIRST_ANSWER, with_probe};

/// A program of the system as it runs: unit, user, effective capabilities, no_new_privs, whether it has a filter.
struct Row {
    unit: &'static str,
    uid: u32,
    capabilities: &'static [u32],
    locked: bool,
    filtered: bool,
}

/// Numbers of capabilities, from linux/capability.h.
const DAC_READ_SEARCH: u32 = 2;
const NET_BIND_SERVICE: u32 = 10;
const NET_ADMIN: u32 = 12;
const NET_RAW: u32 = 13;
const SYS_MODULE: u32 = 16;
const SYS_TIME: u32 = 25;
const SYS_ADMIN: u32 = 21;
const SYSLOG: u32 = 34;
/// Every capability of the kernel the image has.
const ALL: &[u32] = &[
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30,
    31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
];

/// Everything that runs in a unit's control group. Source of truth for reviewers: a change here is a change of what the
/// system trusts. The engine keeps root without a filter: it mounts, makes namespaces and hands out devices.
const TABLE: &[Row] = &[
    Row {
        unit: "access",
        uid: 906,
        capabilities: &[],
        locked: true,
        filtered: true,
    },
    Row {
        unit: "devices",
        uid: 0,
        capabilities: &[DAC_READ_SEARCH, SYS_MODULE],
        locked: true,
        filtered: true,
    },
    Row {
        unit: "journald",
        uid: 902,
        capabilities: &[SYSLOG],
        locked: true,
        filtered: true,
    },
    Row {
        unit: "netd",
        uid: 903,
        capabilities: &[NET_BIND_SERVICE, NET_ADMIN, NET_RAW, SYS_TIME],
        locked: true,
        filtered: true,
    },
    Row {
        unit: "runtimed",
        uid: 0,
        capabilities: ALL,
        locked: false,
        filtered: false,
    },
    Row {
        unit: "update",
        uid: 0,
        capabilities: &[SYS_ADMIN],
        locked: true,
        filtered: true,
    },
];

/// A key, so that the SSH server runs too. Nobody has its other half.
const SSH_OPEN: &str =
    "[ssh]\nkeys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAzKfjUkBvcDtpZDPDM4dFT+PX8QgvTzKacsDX322N2\"]";

/// A repository, so that the update agent runs too. Nobody answers there.
const UPDATED: &str = "[update]\naddress = \"https://192.0.2.1/updates\"";

/// A line of the probe: the unit of the process, and what it may.
struct Process<'a> {
    unit: &'a str,
    uid: &'a str,
    capabilities: u64,
    locked: bool,
    filtered: bool,
}

fn parse(line: &str) -> Option<Process<'_>> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [_, _, uid, capabilities, locked, filter, group] = fields.as_slice() else {
        return None;
    };
    let (_, below) = group.split_once("/system/")?;
    Some(Process {
        unit: below.split('/').next()?,
        uid,
        capabilities: u64::from_str_radix(capabilities, 16).ok()?,
        locked: *locked == "1",
        filtered: *filter == "2",
    })
}

pub fn table(environment: &Environment) -> Result<()> {
    Lab::run(environment, "posture", |lab| {
        let machine = with_probe(lab, &format!("{AS_HOST}\n\n{SSH_OPEN}\n\n{UPDATED}"))?;
        // The update agent comes last: the running slot has to be committed first.
        let agent = |listing: &String| {
            listing
                .lines()
                .filter_map(parse)
                .any(|process| process.unit == "update")
        };
        let listing = until(
            "the start of the update agent",
            FIRST_ANSWER,
            || machine.ask("/processes"),
            agent,
        )?;
        eprintln!("{listing}");
        let processes: Vec<Process<'_>> = listing.lines().filter_map(parse).collect();
        for process in &processes {
            let row = TABLE.iter().find(|row| row.unit == process.unit);
            let row = row.with_context(|| format!("{} is not in the table", process.unit))?;
            let expected = row.capabilities.iter().fold(0, |mask, bit| mask | 1_u64 << bit);
            let unit = row.unit;
            ensure!(process.uid == row.uid.to_string(), "{unit} runs as {}", process.uid);
            ensure!(
                process.capabilities == expected,
                "{unit} has capabilities {:x}",
                process.capabilities
            );
            ensure!(
                process.locked == row.locked,
                "{unit}: no_new_privs is {}",
                process.locked
            );
            ensure!(
                process.filtered == row.filtered,
                "{unit}: a filter is {}",
                process.filtered
            );
        }
        for row in TABLE {
            ensure!(
                processes.iter().any(|process| process.unit == row.unit),
                "{} does not run",
                row.unit
            );
        }
        // PID 1, the shim of the probe and the probe itself are all that runs beside them.
        let others = listing
            .lines()
            .filter(|line| line.contains(" keelson-") && parse(line).is_none());
        let names: Vec<&str> = others.filter_map(|line| line.split(' ').nth(1)).collect();
        ensure!(
            names == ["keelson-init", "keelson-shim"],
            "outside of units there are {names:?}"
        );
        machine.guest.power_off()?;
        Ok(())
    })
}

/// uid 0 in an ordinary container with each of our sockets mounted: how each refuses it, exactly.
pub fn sockets(environment: &Environment) -> Result<()> {
    const SOCKETS: [(&str, &str, &str); 4] = [
        (
            "/run/keelson/control",
            "{%22protocol%22:%22keelson-manager%22,%22version%22:1}|{%22id%22:1,%22request%22:%22power-off%22}",
            "not-allowed",
        ),
        (
            "/run/keelson/journal.sock",
            "{%22protocol%22:%22keelson-journal%22,%22version%22:1}%0a",
            "answer: \n",
        ),
        (
            "/run/keelson/netd/resolver.sock",
            "{%22protocol%22:%22keelson-resolver%22,%22version%22:1}",
            "answer: \n",
        ),
        (
            "/run/docker.sock",
            "GET%20/containers/json%20HTTP/1.1%0d%0aHost:%20x%0d%0a%0d%0a",
            "HTTP/1.1 403",
        ),
    ];
    // Whoever reaches these may write; what counts is that the kernel says who did.
    const WRITABLE: [(&str, &str); 3] = [
        ("/run/keelson/notify", "READY=1%0aSTATUS=problem:%20forged%0a"),
        (
            "/run/systemd/journal/socket",
            "MESSAGE=forged-native%0a_COMM=keelson-netd%0a",
        ),
        ("/run/systemd/journal/dev-log", "<11>keelson-netd:%20forged-syslog"),
    ];
    Lab::run(environment, "sockets", |lab| {
        let mount = |path: &str| {
            let target = format!("/mnt{}", path.replace('/', "-"));
            format!("{{ type = \"bind\", source = \"{path}\", target = \"{target}\" }}")
        };
        let paths = SOCKETS.into_iter().map(|(path, ..)| path);
        let paths = paths.chain(WRITABLE.into_iter().map(|(path, _)| path));
        let mounts: Vec<String> = paths.map(mount).collect();
        let more = format!("ports = [\"80:80\"]\nmounts = [{}]", mounts.join(", "));
        let machine = with_probe(lab, &more)?;
        for (path, line, refusal) in SOCKETS {
            let answer = machine.ask(&format!("/socket?/mnt{}|{line}", path.replace('/', "-")))?;
            let reset = answer.starts_with("refused:");
            ensure!(
                answer.contains(refusal) || reset,
                "{path} answered a container: {answer}"
            );
        }
        for (path, line) in WRITABLE {
            let answer = machine.ask(&format!("/socket?/mnt{}|{line}", path.replace('/', "-")))?;
            ensure!(answer.contains("sent"), "{path}: {answer}");
        }
        let console = machine.guest.machine.console().text();
        machine.guest.power_off()?;
        ensure!(
            !console.contains("forged"),
            "a container spoke as a unit on the console"
        );
        let entries = journal::entries(&machine.disk, lab.directory())?;
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        for forged in ["forged-native", "forged-syslog"] {
            let entry = entries
                .iter()
                .find(|entry| entry.fields.iter().any(|(_, value)| text(value).contains(forged)));
            let entry = entry.with_context(|| format!("{forged} is not in the journal"))?;
            let of_container = entry.fields.iter().any(|(name, _)| name == "_CONTAINER_ID");
            let as_netd = entry
                .fields
                .iter()
                .any(|(name, value)| name == "_COMM" && text(value).contains("netd"));
            ensure!(
                of_container && !as_netd,
                "{forged} does not say that it is a container's"
            );
        }
        Ok(())
    })
}

/// An ordinary container reaches the registry it came from, but not the host's own services or metadata addresses.
pub fn reach(environment: &Environment) -> Result<()> {
    Lab::run(environment, "reach", |lab| {
        let machine = with_probe(lab, "ports = [\"80:80\"]")?;
        for address in ["169.254.169.254:80", "127.0.0.1:53", "10.0.2.15:53"] {
            let answer = machine.ask(&format!("/connect?{address}"))?;
            ensure!(answer.starts_with("closed"), "{address}: {answer}");
        }
        // The host's forwarder of QEMU's network stands for the outside: it refuses, but it is reached.
        let answer = machine.ask("/connect?10.0.2.2:1")?;
        ensure!(answer.contains("refused"), "the outside is not reached: {answer}");
        machine.guest.power_off()?;
        Ok(())
    })
}

/// All TCP ports of a machine with nothing declared, and its resolver, from a neighbour on the same link.
pub fn scan(environment: &Environment) -> Result<()> {
    Lab::run(environment, "scan", |lab| {
        let segment = Segment::new(lab.directory())?;
        let disk = lab.disk("system")?;
        let guest = lab.boot("guest", &disk, |spec| {
            spec.tap = Some(segment.tap().to_owned());
            spec.namespace = Some(segment.namespace().to_owned());
        })?;
        segment.wait_for_lease()?;
        let open = segment.run_probe(&["scan", Segment::GUEST])?;
        ensure!(open.trim().is_empty(), "open from outside: {open}");
        let answer = segment.run_probe(&["ask-name", Segment::GUEST])?;
        ensure!(
            answer.starts_with("no answer"),
            "the resolver answers the outside: {answer}"
        );
        guest.power_off()?;
        Ok(())
    })
}
