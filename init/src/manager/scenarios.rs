//! The supervisor's behaviour as small stories: events in, actions and states out, on a clock that is set by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use keelson_manager_api::{Notice, PowerKind, Refusal, Reply, Request};

use super::boot::Otherwise;
use super::state::State;
use super::{Action, Authority, BootPolicy, Connection, Event, Exit, Level, Manager, Notification};
use crate::unit::{self, Unit};

/// A manager, a clock, and the actions nobody has looked at yet.
pub(super) struct Story {
    pub manager: Manager,
    pub now: Duration,
    pub actions: Vec<Action>,
    next_pid: i32,
}

pub(super) fn unit(name: &str, table: &str, service: &str) -> Unit {
    let kind = if service.is_empty() {
        "target"
    } else if service.contains("oneshot") {
        "oneshot"
    } else {
        "service"
    };
    let service = match service {
        "" => String::new(),
        text => format!("[service]\nexec = [\"/bin/{name}\"]\n{}", text.replace("oneshot", "")),
    };
    let text = format!("schema = 1\n[unit]\ndescription = \"d\"\nkind = \"{kind}\"\n{table}\n{service}");
    unit::parse(name, &text).unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

impl Story {
    pub fn of(units: Vec<Unit>) -> Self {
        let policy = BootPolicy {
            target: "boot-complete".into(),
            within: Duration::from_secs(300),
            otherwise: Otherwise::Stay,
        };
        Self::with_policy(units, policy)
    }

    fn with_policy(units: Vec<Unit>, policy: BootPolicy) -> Self {
        let units: BTreeMap<_, _> = units.into_iter().map(|unit| (unit.name.clone(), unit)).collect();
        Story {
            manager: Manager::new(units, policy),
            now: Duration::from_secs(5),
            actions: Vec::new(),
            next_pid: 100,
        }
    }

    /// One event; spawns are answered at once, as the system stage does.
    pub fn event(&mut self, event: Event) -> &mut Self {
        let mut pending = vec![event];
        while let Some(event) = pending.pop() {
            for action in self.manager.step(self.now, event) {
                if let Action::Spawn { unit } = &action {
                    self.next_pid += 1;
                    pending.push(Event::Spawned {
                        unit: unit.clone(),
                        pid: self.next_pid,
                    });
                }
                self.actions.push(action);
            }
        }
        self
    }

    pub fn boot(&mut self) -> &mut Self {
        self.event(Event::Boot)
    }

    fn after(&mut self, milliseconds: u64) -> &mut Self {
        self.now += Duration::from_millis(milliseconds);
        self.event(Event::Tick)
    }

    fn executed(&mut self, unit: &str) -> &mut Self {
        self.event(Event::Executed { unit: unit.into() })
    }

    fn ready(&mut self, unit: &str) -> &mut Self {
        let message = Notification {
            ready: true,
            ..Notification::default()
        };
        self.event(Event::Notified {
            unit: unit.into(),
            message,
        })
    }

    /// The main process ends and its group with it.
    fn exits(&mut self, unit: &str, exit: Exit) -> &mut Self {
        let pid = self.pid(unit);
        self.event(Event::GroupEmpty { unit: unit.into() })
            .event(Event::Exited { pid, exit })
    }

    fn ask(&mut self, id: u64, request: Request) -> &mut Self {
        let connection = Connection(1);
        self.event(Event::Asked {
            connection,
            id,
            authority: Authority::Control,
            request,
        })
    }

    fn pid(&self, unit: &str) -> i32 {
        self.manager.entries()[unit]
            .process
            .as_ref()
            .expect("a main process")
            .pid
    }

    fn state(&self, unit: &str) -> &State {
        &self.manager.entries()[unit].state
    }

    fn is_up(&self, unit: &str) -> bool {
        self.manager.entries()[unit].is_up()
    }

    fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    fn spawned(&mut self) -> Vec<String> {
        let actions = self.take();
        let spawn = |action| {
            if let Action::Spawn { unit } = action {
                Some(unit)
            } else {
                None
            }
        };
        actions.into_iter().filter_map(spawn).collect()
    }

    fn replies(&mut self) -> Vec<(u64, Reply)> {
        let actions = self.take();
        let reply = |action| {
            if let Action::Reply { id, reply, .. } = action {
                Some((id, reply))
            } else {
                None
            }
        };
        actions.into_iter().filter_map(reply).collect()
    }

    fn failures(&self) -> Vec<&str> {
        let failure = |action: &'_ Action| matches!(action, Action::Report(report) if report.level == Level::Failure);
        let text = |action| {
            if let &Action::Report(super::Report { ref text, .. }) = action {
                text.as_str()
            } else {
                ""
            }
        };
        self.actions.iter().filter(|action| failure(action)).map(text).collect()
    }
}

const SERVICE: &str = "ready = \"notify\"\nrestart = \"always\"\n";

#[test]
fn requirements_come_first_and_readiness_counts_not_the_spawn() {
    let mut story = Story::of(vec![
        unit("a", "", SERVICE),
        unit("b", "requires = [\"a\"]", SERVICE),
        unit("boot-complete", "requires = [\"b\"]", ""),
    ]);
    assert_eq!(story.boot().spawned(), ["a"]);
    assert_eq!(story.executed("a").spawned(), [""; 0]);
    assert_eq!(story.ready("a").spawned(), ["b"]);
    story.executed("b").ready("b");
    assert!(story.is_up("boot-complete"));
    assert_eq!(
        story
            .actions
            .iter()
            .filter(|action| **action == Action::BootComplete)
            .count(),
        1
    );
}

#[test]
fn order_alone_does_not_start_and_wishes_alone_do_not_order() {
    let mut story = Story::of(vec![
        unit("late", "after = [\"early\", \"idle\", \"gone\"]", "restart = \"never\""),
        unit("early", "", "oneshot"),
        unit("idle", "boot = false", SERVICE),
        unit("wisher", "wants = [\"idle2\", \"missing\"]", "restart = \"never\""),
        unit("idle2", "boot = false", SERVICE),
    ]);
    assert_eq!(story.boot().spawned(), ["early", "idle2", "wisher"]);
    assert_eq!(story.exits("early", Exit::Code(1)).spawned(), ["late"]);
    assert_eq!(*story.state("idle"), State::Stopped);
}

#[test]
fn a_failed_requirement_fails_what_needs_it_and_the_boot_stays_up() {
    let mut story = Story::of(vec![
        unit("a", "", "oneshot"),
        unit("boot-complete", "requires = [\"a\", \"b\"]", ""),
        unit("b", "", "restart = \"never\""),
    ]);
    story.boot().executed("b").exits("a", Exit::Code(3));
    assert_eq!(*story.state("a"), State::Failed);
    assert_eq!(*story.state("boot-complete"), State::Failed);
    let said = story.failures().join("\n");
    assert!(said.contains("a failed: exited with code 3"), "{said}");
    assert!(
        said.contains("boot-complete cannot be reached: a: exited with code 3"),
        "{said}"
    );
    story.after(600_000);
    assert!(!story.manager.is_shutting_down());
    assert!(story.is_up("b"));
}

#[test]
fn a_boot_on_trial_that_does_not_come_up_is_left_in_bounded_time() {
    let policy = BootPolicy {
        target: "boot-complete".into(),
        within: Duration::from_secs(300),
        otherwise: Otherwise::Reboot,
    };
    let units = vec![
        unit("slow", "", "ready = \"notify\"\nstart-timeout = \"1h\""),
        unit("boot-complete", "requires = [\"slow\"]", ""),
    ];
    let mut story = Story::with_policy(units, policy);
    story.boot().after(299_000);
    assert!(!story.manager.is_shutting_down());
    story.after(1_000);
    assert!(story.manager.is_shutting_down());
    story.exits("slow", Exit::Signal(15)).event(Event::NoChildren);
    assert!(story.take().contains(&Action::Finish {
        kind: PowerKind::Reboot
    }));
    assert_eq!(story.manager.next_deadline(), None);
}

#[test]
fn a_killed_service_comes_back_and_later_each_time_until_it_is_given_up() {
    let mut story = Story::of(vec![unit("a", "", "restart = \"always\"\nrestart-delay = \"100ms\"")]);
    story.boot().executed("a").take();
    for delay in [100, 200, 400, 800] {
        story.exits("a", Exit::Signal(9));
        assert_eq!(story.after(delay - 1).spawned(), [""; 0]);
        assert_eq!(story.after(1).executed("a").spawned(), ["a"]);
    }
    story.exits("a", Exit::Signal(9));
    assert_eq!(*story.state("a"), State::Failed);
    assert!(
        story.failures()[0].contains("killed by signal 9; given up after 5 starts"),
        "{:?}",
        story.failures()
    );
    assert_eq!(story.manager.next_deadline().map(|at| at.as_secs()), Some(305));
    // A person's start forgets what was.
    assert_eq!(story.ask(1, Request::Start { unit: "a".into() }).spawned(), ["a"]);
}

#[test]
fn a_restart_waits_for_the_whole_group() {
    let mut story = Story::of(vec![unit("a", "", SERVICE)]);
    story.boot().executed("a").ready("a").take();
    let pid = story.pid("a");
    story.event(Event::Exited {
        pid,
        exit: Exit::Signal(11),
    });
    assert!(story.take().contains(&Action::KillGroup { unit: "a".into() }));
    assert_eq!(story.after(5_000).spawned(), [""; 0]);
    story.event(Event::GroupEmpty { unit: "a".into() });
    assert_eq!(story.after(100).spawned(), ["a"]);
}

#[test]
fn children_of_a_unit_that_kills_only_its_main_process_go_on() {
    let mut story = Story::of(vec![unit("engine", "", "restart = \"always\"\nkill = \"main\"")]);
    story.boot().executed("engine").take();
    let pid = story.pid("engine");
    story
        .event(Event::Exited {
            pid,
            exit: Exit::Signal(9),
        })
        .after(100);
    let actions = story.take();
    assert!(
        !actions
            .iter()
            .any(|action| matches!(action, Action::KillGroup { .. } | Action::RemoveGroup { .. }))
    );
    assert!(story.manager.entries()["engine"].group_populated);
    assert_ne!(story.pid("engine"), pid);
    let pid = story.pid("engine");
    story.executed("engine").ask(1, Request::Stop { unit: "engine".into() });
    assert!(story.take().contains(&Action::Signal { pid, signal: 15 }));
    story.after(10_000);
    assert!(story.take().contains(&Action::Signal { pid, signal: 9 }));
    story.event(Event::Exited {
        pid,
        exit: Exit::Signal(9),
    });
    assert_eq!(*story.state("engine"), State::Stopped);
}

#[test]
fn starts_and_watchdogs_have_deadlines() {
    let watched = "ready = \"notify\"\nwatchdog = \"30s\"\nstart-timeout = \"20s\"\nrestart = \"always\"\n";
    let mut story = Story::of(vec![unit("a", "", watched)]);
    story.boot().executed("a").after(20_000);
    assert!(story.take().contains(&Action::KillGroup { unit: "a".into() }));
    story
        .exits("a", Exit::Signal(9))
        .after(100)
        .executed("a")
        .ready("a")
        .take();
    for _ in 0..3 {
        let message = Notification {
            watchdog: true,
            ..Notification::default()
        };
        story.after(29_000).event(Event::Notified {
            unit: "a".into(),
            message,
        });
    }
    assert!(story.is_up("a"));
    story.after(30_000);
    assert!(story.take().contains(&Action::KillGroup { unit: "a".into() }));
    story.exits("a", Exit::Signal(9));
    assert_eq!(
        story.manager.entries()["a"].failure.as_deref(),
        Some("missed its watchdog")
    );
}

#[test]
fn what_went_wrong_before_exec_is_named() {
    let mut story = Story::of(vec![unit("a", "", "restart = \"never\"")]);
    story.boot();
    let reason = "cannot become user net: there is no user \"net\"".to_owned();
    story
        .event(Event::ExecFailed {
            unit: "a".into(),
            reason,
        })
        .exits("a", Exit::Code(127));
    assert!(
        story.failures()[1].contains("a failed: cannot become user net"),
        "{:?}",
        story.failures()
    );
}

#[test]
fn stopping_goes_against_the_order_and_takes_along_what_requires_it() {
    let mut story = Story::of(vec![
        unit("a", "", SERVICE),
        unit("b", "requires = [\"a\"]", SERVICE),
        unit("c", "after = [\"a\"]", SERVICE),
    ]);
    story.boot().ready("a").ready("b").ready("c").take();
    let pid = story.pid("b");
    story.ask(7, Request::Stop { unit: "a".into() });
    assert_eq!(story.take(), [Action::Signal { pid, signal: 15 }]);
    let pid = story.pid("a");
    story.exits("b", Exit::Signal(15));
    assert!(story.take().contains(&Action::Signal { pid, signal: 15 }));
    story.exits("a", Exit::Code(0));
    assert_eq!(story.replies(), [(7, Reply::Done)]);
    assert!(story.is_up("c"));
}

#[test]
fn a_unit_that_does_not_stop_is_killed_after_its_deadline() {
    let mut story = Story::of(vec![unit("a", "", "stop-timeout = \"3s\"")]);
    story
        .boot()
        .executed("a")
        .ask(1, Request::Stop { unit: "a".into() })
        .take();
    story.after(2_999);
    assert_eq!(story.take(), []);
    story.after(1);
    assert!(story.actions.contains(&Action::KillGroup { unit: "a".into() }));
    assert!(story.failures()[0].contains("did not stop in time"));
}

#[test]
fn requests_are_answered_when_they_are_fulfilled_and_once() {
    let mut story = Story::of(vec![
        unit("a", "boot = false", SERVICE),
        unit("once", "boot = false", "oneshot"),
    ]);
    story.boot().ask(1, Request::Start { unit: "a".into() });
    assert_eq!(story.replies(), []);
    assert_eq!(story.ready("a").replies(), [(1, Reply::Done)]);
    assert_eq!(
        story.ask(2, Request::Start { unit: "a".into() }).replies(),
        [(2, Reply::Done)]
    );
    let pid = story.pid("a");
    story.ask(3, Request::Restart { unit: "a".into() });
    assert!(story.take().contains(&Action::Signal { pid, signal: 15 }));
    assert_eq!(story.exits("a", Exit::Code(0)).ready("a").replies(), [(3, Reply::Done)]);
    let refused =
        |reply: &(u64, Reply), expected| matches!(&reply.1, Reply::Refused { refusal, .. } if *refusal == expected);
    story
        .ask(4, Request::Start { unit: "once".into() })
        .exits("once", Exit::Code(2));
    assert!(refused(&story.replies()[0], Refusal::Failed));
    story.ask(5, Request::Start { unit: "nobody".into() });
    assert!(refused(&story.replies()[0], Refusal::NoSuchUnit));
    story
        .ask(6, Request::Restart { unit: "a".into() })
        .ask(7, Request::Stop { unit: "a".into() });
    assert!(refused(&story.replies()[0], Refusal::Superseded));
    assert_eq!(story.exits("a", Exit::Code(0)).replies(), [(7, Reply::Done)]);
}

#[test]
fn only_those_who_may_are_obeyed() {
    let mut story = Story::of(vec![unit("a", "", SERVICE)]);
    story.boot().ready("a").take();
    for (authority, request, allowed) in [
        (Authority::Nothing, Request::List, false),
        (Authority::Read, Request::List, true),
        (Authority::Read, Request::Reboot, false),
        (Authority::Read, Request::Stop { unit: "a".into() }, false),
        (Authority::Control, Request::Status { unit: "a".into() }, true),
    ] {
        story.event(Event::Asked {
            connection: Connection(1),
            id: 1,
            authority,
            request,
        });
        let refused = matches!(
            story.replies()[0].1,
            Reply::Refused {
                refusal: Refusal::NotAllowed,
                ..
            }
        );
        assert_eq!(!refused, allowed, "{authority:?}");
    }
    assert!(story.is_up("a") && !story.manager.is_shutting_down());
}

#[test]
fn subscribers_hear_of_changes_until_they_leave() {
    let mut story = Story::of(vec![
        unit("a", "", SERVICE),
        unit("boot-complete", "requires = [\"a\"]", ""),
    ]);
    story.ask(1, Request::Subscribe).boot().ready("a");
    let notices = |story: &mut Story| {
        let notice = |action| {
            if let Action::Notify { notice, .. } = action {
                Some(notice)
            } else {
                None
            }
        };
        story.take().into_iter().filter_map(notice).collect::<Vec<_>>()
    };
    assert!(notices(&mut story).contains(&Notice::BootComplete));
    story.event(Event::AskedToPowerOff);
    assert_eq!(
        notices(&mut story)[0],
        Notice::ShuttingDown {
            kind: PowerKind::PowerOff
        }
    );
    story
        .event(Event::Disconnected {
            connection: Connection(1),
        })
        .exits("a", Exit::Code(0));
    assert_eq!(notices(&mut story), []);
}

#[test]
fn shutdown_stops_in_order_then_the_rest_then_the_machine() {
    let mut story = Story::of(vec![unit("a", "", SERVICE), unit("b", "requires = [\"a\"]", SERVICE)]);
    story.boot().ready("a").ready("b").take();
    let (first, second) = (story.pid("b"), story.pid("a"));
    story.event(Event::AskedToReboot);
    let actions = story.take();
    let place = |wanted: &Action| actions.iter().position(|action| action == wanted).expect("the action");
    let (word, stop) = (
        Action::AnnounceEnd {
            kind: PowerKind::Reboot,
        },
        Action::Signal { pid: first, signal: 15 },
    );
    assert!(place(&word) < place(&stop));
    story.exits("b", Exit::Signal(15));
    assert!(story.take().contains(&Action::Signal {
        pid: second,
        signal: 15
    }));
    story.exits("a", Exit::Signal(15));
    assert!(story.take().contains(&Action::SignalAll { signal: 15 }));
    story.after(10_000);
    assert!(story.take().contains(&Action::SignalAll { signal: 9 }));
    story.event(Event::NoChildren);
    assert_eq!(
        story.take(),
        [Action::Finish {
            kind: PowerKind::Reboot
        }]
    );
    assert_eq!(story.after(100_000).take(), []);
}

#[test]
fn shutdown_is_bounded_and_says_what_it_waits_for() {
    let mut story = Story::of(vec![unit("stuck", "", "stop-timeout = \"5min\"")]);
    story.boot().executed("stuck").event(Event::AskedToPowerOff);
    story.after(5_000);
    let told =
        |action: &Action| matches!(action, Action::Report(report) if report.text.starts_with("waiting for stuck"));
    assert!(story.take().iter().any(told));
    let mut waited = 5;
    while !story
        .actions
        .iter()
        .any(|action| matches!(action, Action::Finish { .. }))
    {
        story.after(1_000);
        waited += 1;
        assert!(waited < 100, "{:?}", story.manager);
    }
    assert!(story.actions.contains(&Action::KillGroup { unit: "stuck".into() }));
    assert!(waited >= 60);
}

#[test]
fn nothing_starts_while_the_machine_goes_down() {
    let mut story = Story::of(vec![
        unit("a", "", "restart = \"always\"\nrestart-delay = \"1s\""),
        unit("b", "after = [\"a\"]", SERVICE),
    ]);
    story
        .boot()
        .exits("a", Exit::Code(1))
        .event(Event::AskedToReboot)
        .take();
    story.ask(9, Request::Start { unit: "b".into() });
    let replies = story.after(60_000);
    assert!(matches!(
        replies.replies()[0],
        (
            9,
            Reply::Refused {
                refusal: Refusal::ShuttingDown,
                ..
            }
        )
    ));
    assert_eq!(story.spawned(), [""; 0]);
}

#[test]
fn exits_of_strangers_are_ignored() {
    let mut story = Story::of(vec![unit("a", "", SERVICE)]);
    story.boot().ready("a").take();
    let before = story.manager.clone();
    story.event(Event::Exited {
        pid: 4711,
        exit: Exit::Signal(64),
    });
    assert_eq!(story.take(), []);
    assert_eq!(story.manager, before);
}

#[test]
fn the_whole_state_survives_being_written_and_read() {
    let mut story = Story::of(vec![unit("a", "", SERVICE), unit("b", "requires = [\"a\"]", SERVICE)]);
    story
        .boot()
        .ready("a")
        .ask(1, Request::Restart { unit: "a".into() })
        .ask(2, Request::Subscribe);
    let text = serde_json::to_vec(&story.manager).unwrap();
    let restored: Manager = serde_json::from_slice(&text).unwrap();
    assert_eq!(restored, story.manager);
    story.manager = restored;
    assert_eq!(
        story.exits("a", Exit::Code(0)).ready("a").replies().pop(),
        Some((1, Reply::Done))
    );
}
