//! The broker and its objects over a supervisor of the test, driven by the `busctl` that operators have.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use keelson_image_layout::BusAccess;
use keelson_manager_api::{Notice, UnitState};
use support::{Machine, unit};

#[test]
fn busctl_lists_introspects_reads_and_calls() {
    let machine = Machine::start(Some(BusAccess::Operate));
    let listed = machine.busctl(&["list"]).good();
    assert!(
        listed.contains("org.keelson.Manager1") && listed.contains("busctl"),
        "{listed}"
    );

    let tree = machine.busctl(&["tree", "org.keelson.Manager1"]).good();
    assert!(tree.contains("/org/keelson/Manager1/unit/boot_2dcomplete"), "{tree}");

    let shown = machine.busctl(&["introspect", MANAGER, PATH]).good();
    for member in [
        ".StartUnit",
        ".Reboot",
        ".UnitStateChanged",
        ".BootComplete",
        ".LastBootCause",
    ] {
        assert!(shown.contains(member), "{member}: {shown}");
    }
    let xml = machine.busctl(&["introspect", "--xml-interface", MANAGER, PATH]).good();
    assert!(xml.contains("Restarts the machine in order"), "{xml}");

    let complete = machine
        .busctl(&["get-property", MANAGER, PATH, MANAGER, "BootComplete"])
        .good();
    assert_eq!(complete, "b true\n");
    let state = machine
        .busctl(&["get-property", MANAGER, NETD, "org.keelson.Unit1", "State"])
        .good();
    assert_eq!(state, "s \"running\"\n");

    let units = machine.busctl(&["call", MANAGER, PATH, MANAGER, "ListUnits"]).good();
    assert!(units.starts_with("a(ssssuo) 2 \"boot-complete\""), "{units}");
    let object = machine
        .busctl(&["call", MANAGER, PATH, MANAGER, "GetUnit", "s", "netd"])
        .good();
    assert_eq!(object, format!("o \"{NETD}\"\n"));

    machine
        .busctl(&["call", MANAGER, PATH, MANAGER, "RestartUnit", "s", "netd"])
        .good();
    machine
        .busctl(&["call", MANAGER, NETD, "org.keelson.Unit1", "Stop"])
        .good();
    machine
        .busctl(&["call", MANAGER, PATH, MANAGER, "Reboot", "s", "new kernel"])
        .good();
    assert_eq!(
        machine.asked(),
        [
            "restart netd",
            "stop netd",
            "reboot, says container cccccccccccc: new kernel"
        ]
    );
}

#[test]
fn refusals_name_the_place_and_the_cure() {
    let machine = Machine::start(Some(BusAccess::Read));
    assert!(machine.busctl(&["list"]).good().contains(MANAGER));
    let table: [(&[&str], &str); 6] = [
        (&[MANAGER, PATH, MANAGER, "Reboot", "s", ""], "needs bus = \"operate\""),
        (
            &[MANAGER, PATH, MANAGER, "StopUnit", "s", "netd"],
            "needs bus = \"operate\"",
        ),
        (&[MANAGER, NETD, "org.keelson.Unit1", "Stop"], "needs bus = \"operate\""),
        (
            &[MANAGER, PATH, MANAGER, "GetUnit", "s", "nted"],
            "there is no unit \"nted\"; ListUnits",
        ),
        (&[MANAGER, PATH, MANAGER, "Reexec"], "no method that can be called"),
        (
            &[
                "org.freedesktop.DBus",
                "/",
                "org.freedesktop.DBus",
                "RequestName",
                "su",
                "org.keelson.Spy",
                "0",
            ],
            "ccess denied",
        ),
    ];
    for (call, told) in table {
        let refused = machine.busctl(&[&["call"], call].concat()).bad();
        assert!(refused.contains(told), "{call:?}: {refused}");
    }
    assert!(
        machine.asked().is_empty(),
        "nothing reached the supervisor: {:?}",
        machine.asked()
    );
}

#[test]
fn what_the_supervisor_refuses_is_an_error_of_ours() {
    let machine = Machine::start(Some(BusAccess::Operate));
    for (name, error) in [("broken", "it is broken"), ("nobody", "there is no unit")] {
        let refused = machine
            .busctl(&["call", MANAGER, PATH, MANAGER, "StartUnit", "s", name])
            .bad();
        assert!(refused.contains(error), "{refused}");
    }
}

#[test]
fn the_releases_are_an_object_that_says_when_it_changes() {
    let machine = Machine::start(Some(BusAccess::Operate));
    let name = "org.keelson.Update1";
    let state = || machine.busctl(&["get-property", name, UPDATE, name, "State"]).good();
    assert_eq!(state(), "s \"assessing\"\n");
    machine.tell(Notice::UnitChanged {
        unit: unit("mark-good", UnitState::Done),
    });
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while state() != "s \"committed\"\n" {
        assert!(std::time::Instant::now() < deadline, "{}", state());
    }
    machine.busctl(&["call", name, UPDATE, name, "Rollback"]).good();
    assert_eq!(machine.asked(), ["start rollback"]);
}

#[test]
fn a_monitor_sees_signals_and_calls() {
    let machine = Machine::start(Some(BusAccess::Operate));
    let mut monitor = machine.spawn(&["monitor", "--json=short"]);
    let mut lines = BufReader::new(monitor.stdout.take().unwrap()).lines();
    // It says so on standard error; that a first call is seen is what counts.
    let seen = std::thread::scope(|scope| {
        let caller = scope.spawn(|| {
            for _ in 0..50 {
                let _ = machine.busctl(&["call", MANAGER, PATH, MANAGER, "StopUnit", "s", "netd"]);
                machine.tell(Notice::UnitChanged {
                    unit: unit("netd", UnitState::Failed),
                });
                machine.tell(Notice::UnitChanged {
                    unit: unit("netd", UnitState::Running),
                });
                if machine.is_over() {
                    return;
                }
            }
        });
        let mut wanted = vec!["StopUnit", "UnitStateChanged", "PropertiesChanged"];
        while !wanted.is_empty() {
            let line = lines.next().expect("the monitor has ended").unwrap();
            wanted.retain(|word| !line.contains(word));
        }
        machine.end();
        caller.join().unwrap();
        wanted.is_empty()
    });
    assert!(seen);
    monitor.kill().unwrap();
    monitor.wait().unwrap();
}

#[test]
fn without_a_grant_nobody_gets_in() {
    let machine = Machine::start(None);
    let refused = machine.busctl(&["list"]).bad();
    assert!(refused.contains("not permitted"), "{refused}");
}

#[test]
fn who_never_reads_is_left_and_the_others_are_served() {
    let machine = Machine::start(Some(BusAccess::Operate));
    let mut deaf = machine.connect();
    let introspect = support::call(2, MANAGER, PATH, "org.freedesktop.DBus.Introspectable", "Introspect");
    let before = support::resident();
    // Far more answers than may wait; at some point it is thrown out.
    let thrown_out = (0..200_000).any(|_| deaf.write_all(&introspect).is_err());
    assert!(thrown_out, "a client that never reads is kept for ever");
    assert!(machine.busctl(&["list"]).good().contains(MANAGER));
    let more = support::resident().saturating_sub(before);
    assert!(more < 24 << 20, "{more} bytes more after a flood");
}

#[test]
fn nonsense_ends_its_own_connection_only() {
    let machine = Machine::start(Some(BusAccess::Operate));
    for nonsense in [
        vec![0xff; 4096],
        // 128 MiB are announced.
        [b"l\x01\0\x01\0\0\0\x08\x01\0\0\0\0\0\0\0".as_slice(), &[0; 64]].concat(),
    ] {
        let mut stream = machine.connect();
        let _ = stream.write_all(&nonsense);
        let mut rest = Vec::new();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // What was said before may still come; then the end, not silence.
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
    let mut web = UnixStream::connect(machine.socket()).unwrap();
    web.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let _ = web.read_to_end(&mut Vec::new());
    assert!(machine.busctl(&["list"]).good().contains(MANAGER));
}

#[test]
fn every_method_there_is_has_a_row() {
    let machine = Machine::start(Some(BusAccess::Operate));
    for (path, interface, least) in [
        (PATH, MANAGER, 3),
        (NETD, "org.keelson.Unit1", 3),
        (UPDATE, "org.keelson.Update1", 1),
    ] {
        let shown = machine.busctl(&["introspect", MANAGER, path, interface]).good();
        let methods = shown
            .lines()
            .filter(|line| line.split_whitespace().nth(1) == Some("method"));
        let names: Vec<&str> = methods.filter_map(|line| line.split_whitespace().next()).collect();
        assert!(names.len() >= least, "{shown}");
        for name in names {
            let member = name.trim_start_matches('.');
            let known = keelson_busd::policy::TABLE
                .iter()
                .any(|row| row.0 == interface && row.1 == member);
            assert!(known, "{interface}{name} is offered, and nobody may call it");
        }
    }
}

const MANAGER: &str = "org.keelson.Manager1";
const PATH: &str = "/org/keelson/Manager1";
const NETD: &str = "/org/keelson/Manager1/unit/netd";
const UPDATE: &str = "/org/keelson/Update1";
