//! What is said about machines that ail.

use std::collections::BTreeMap;

use keelson_engine_client::declared::{FailedStep, Failure, Standing};
use keelson_image_layout::{Reason, Slot, SlotFacts, State, StateMount};
use keelson_manager_api::{Kind, UnitState, UnitStatus};
use serde_json::json;

use super::*;
use crate::machine::chain::Chain;
use crate::machine::engine::Container;
use crate::machine::figures::Room;

fn unit(name: &str, state: UnitState) -> UnitStatus {
    UnitStatus {
        name: name.to_owned(),
        description: String::new(),
        kind: Kind::Service,
        state,
        since_ms: 0,
        started_us: None,
        up_us: None,
        main_pid: None,
        restarts: 0,
        status: None,
        failure: None,
    }
}

fn good() -> SlotFacts {
    SlotFacts {
        state: State::Good,
        tries: 3,
        reason: Reason::None,
        version: "0.1.0".to_owned(),
    }
}

fn well() -> Report {
    Report {
        format: 1,
        well: true,
        problems: Vec::new(),
        hostname: Some("web-1".to_owned()),
        version: "0.1.0".to_owned(),
        kernel: "6.12".to_owned(),
        boot_id: "id".to_owned(),
        slot: Slot::A,
        trial: false,
        slots: Some([good(), good()]),
        health: Health::Complete,
        uptime: 7_200,
        before: None,
        services: vec![unit("netd", UnitState::Running)],
        containers: Some(Vec::new()),
        declared: BTreeMap::new(),
        network: json!({
            "online": true,
            "links": [{ "name": "eth0", "carrier": true, "addresses": ["10.0.2.15/24"] }],
            "time": { "synchronised": true, "server": "10.0.2.2" },
        }),
        configuration: json!({ "state": "applied", "generation": "0123456789abcdef", "source": "cidata" }),
        memory: Some(Room {
            total: 2 << 30,
            available: 1 << 30,
        }),
        state: StateMount::ReadWrite,
        disk: Some(Room {
            total: 8 << 30,
            available: 7 << 30,
        }),
        chain: Chain {
            secure_boot: None,
            tpm: false,
            pcr11: None,
        },
    }
}

#[test]
fn a_well_machine_has_no_problems_and_one_screen() {
    let report = well();
    assert_eq!(decide_problems(&report), []);
    let screen = screen(&report);
    for part in [
        "web-1",
        "Keelson 0.1.0",
        "up 2 h 0 min",
        "a (running)",
        "10.0.2.15/24",
        "0123456789ab from cidata",
    ] {
        assert!(screen.contains(part), "{part} is not in\n{screen}");
    }
    assert!(
        screen.ends_with("\nNothing is wrong.\n") && screen.lines().count() < 24,
        "{screen}"
    );
}

/// What makes a machine ill, and a part of what is said about it.
type Ailment = (fn(&mut Report), &'static str, &'static str);

const AILMENTS: [Ailment; 18] = [
    (
        |report| {
            report.services[0].state = UnitState::Failed;
            report.services[0].failure = Some("exited with code 1; given up after 5 starts within 10s".to_owned());
        },
        "service netd has failed: exited with code 1; given up after 5 starts",
        "services restart netd",
    ),
    (
        |report| report.services[0].state = UnitState::BackOff,
        "will be started again",
        "logs --unit netd",
    ),
    (
        |report| report.services[0].restarts = 7,
        "restarted 7 times",
        "logs --unit netd",
    ),
    (
        |report| {
            report.state = StateMount::ReadOnly {
                reason: "repair gave up".to_owned(),
            }
        },
        "read-only: repair gave up",
        "lost at the next reboot",
    ),
    (
        |report| {
            report.state = StateMount::Memory {
                reason: "no superblock".to_owned(),
            }
        },
        "in memory: no superblock",
        "reinstall",
    ),
    (
        |report| report.health = Health::Starting,
        "not complete yet",
        "boot shows",
    ),
    (
        |report| report.health = Health::Failed,
        "cannot be completed",
        "stays up",
    ),
    (
        |report| {
            let error = json!({ "severity": "error", "line": 3, "message": "unknown key" });
            let warning = json!({ "severity": "warning", "line": 1, "message": "odd" });
            report.configuration =
                json!({ "state": "rejected", "report": { "diagnostics": [warning, error], "more": 1 } });
        },
        "refused, nothing of it is applied: 2 mistakes, the first in line 3: unknown key",
        "then reboot",
    ),
    (
        |report| report.configuration = json!({ "state": "applied", "degraded": ["no secret db"], "source": "cidata" }),
        "no secret db",
        "cidata",
    ),
    (
        |report| {
            let bad = SlotFacts {
                state: State::Bad,
                tries: 0,
                reason: Reason::Corruption,
                ..good()
            };
            report.slots = Some([good(), bad]);
        },
        "the other slot b (0.1.0) is bad: corruption",
        "nothing to fall back to",
    ),
    (|report| report.slots = None, "record of the slots", "logs --kernel"),
    (
        |report| {
            report.disk = Some(Room {
                total: 8 << 30,
                available: 100 << 20,
            })
        },
        "nearly full: 100 MiB of 8.0 GiB left",
        "images",
    ),
    (
        |report| report.network = json!({ "online": false, "time": { "synchronised": true } }),
        "no link has an address",
        "DHCP",
    ),
    (
        |report| {
            report.network = json!({ "online": true, "time": { "synchronised": false, "problem": "no answer" } });
        },
        "no server has set the clock: no answer",
        "[time]",
    ),
    (
        |report| {
            report.containers = Some(vec![Container {
                name: "web".to_owned(),
                image: "nginx".to_owned(),
                state: "restarting".to_owned(),
                status: "Restarting (1) 2 seconds ago".to_owned(),
                ports: Vec::new(),
            }]);
        },
        "container web does not stay up: Restarting (1)",
        "logs --container web",
    ),
    (
        |report| {
            declare(
                report,
                "pulling r.example/web",
                FailedStep::Pull,
                "cannot pull r.example/web: no such image",
            )
        },
        "the declared container web does not run: cannot pull r.example/web: no such image",
        "correct `image` of [container.web]",
    ),
    (
        // It is one problem, not two, although the engine lists it as restarting.
        |report| {
            declare(report, "trying again in 4 s", FailedStep::Start, "no executable /x");
            report.containers = Some(vec![Container {
                name: "web".to_owned(),
                image: "web".to_owned(),
                state: "restarting".to_owned(),
                status: "Restarting (127) 1 second ago".to_owned(),
                ports: Vec::new(),
            }]);
        },
        "does not run: no executable /x",
        "logs --unit runtimed",
    ),
    (
        |report| {
            declare(
                report,
                "trying again in 4 s",
                FailedStep::Name,
                "a container that was not declared has this name",
            )
        },
        "a container that was not declared has this name",
        "rename web OTHER",
    ),
];

fn declare(report: &mut Report, at: &str, step: FailedStep, reason: &str) {
    let failure = Some(Failure {
        step,
        reason: reason.to_owned(),
    });
    let standing = Standing {
        at: at.to_owned(),
        failure,
    };
    report.declared.insert("web".to_owned(), standing);
    report.declared.insert(
        "db".to_owned(),
        Standing {
            at: "pulling db".to_owned(),
            failure: None,
        },
    );
}

#[test]
fn each_ailment_is_said_in_words_with_the_next_step() {
    for (make_ill, what, next) in AILMENTS {
        let mut report = well();
        make_ill(&mut report);
        report.problems = decide_problems(&report);
        let [problem] = report.problems.as_slice() else {
            panic!("{what}: {:?}", report.problems)
        };
        assert!(problem.what.contains(what), "{problem:?}");
        assert!(problem.next.contains(next), "{problem:?}");
        let screen = screen(&report);
        assert!(screen.contains("\n1 problem:\n") && screen.contains(what), "{screen}");
    }
}

#[test]
fn a_machine_that_just_started_has_time_to_find_its_network() {
    let mut report = well();
    report.uptime = 20;
    report.network = json!({ "online": false, "time": { "synchronised": false } });
    assert_eq!(decide_problems(&report), []);
}
