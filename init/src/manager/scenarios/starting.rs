//! How units come up, and what a boot is worth.

use std::time::Duration;

use keelson_manager_api::{PowerKind, Reply, Request, Words};

use super::{SERVICE, Story, unit};
use crate::manager::{Action, BootPolicy, Event, Exit, Manager, boot::Otherwise, state::State};

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

const SOCKET: &str = "[[socket]]\nname = \"s\"\nkind = \"stream\"\npath = \"/s\"\nstarts = true";

#[test]
fn who_knocks_too_often_finds_nobody() {
    let mut story = Story::of(vec![unit("bus", "boot = false", SOCKET)]);
    story.boot();
    for _ in 0..5 {
        story.event(Event::Called { unit: "bus".into() }).executed("bus");
        story.exits("bus", Exit::Code(0));
    }
    story.event(Event::Called { unit: "bus".into() });
    assert_eq!(*story.state("bus"), State::Failed);
    assert!(story.failures().join("\n").contains("given up after 5 starts"));
    assert!(!story.manager.may_be_called("bus"));
    story.ask(1, Request::Start { unit: "bus".into() });
    assert!(
        matches!(story.state("bus"), State::Starting { .. }),
        "a person's wish starts a new budget"
    );
}

#[test]
fn who_knocks_starts_what_is_down_and_nothing_that_was_given_up() {
    let mut story = Story::of(vec![
        unit("bus", "boot = false", &format!("restart = \"on-failure\"\n{SOCKET}")),
        unit("hopeless", "boot = false", &format!("restart = \"never\"\n{SOCKET}")),
        unit("silent", "boot = false", SERVICE),
    ]);
    let knock = |unit: &str| Event::Called { unit: unit.into() };
    assert_eq!(story.boot().spawned(), [""; 0]);
    assert_eq!(story.event(knock("bus")).spawned(), ["bus"]);
    assert!(!story.manager.may_be_called("silent"), "it has no such socket");
    assert!(
        !story.manager.may_be_called("bus"),
        "it runs: callers are its own affair"
    );
    assert_eq!(story.executed("bus").event(knock("bus")).spawned(), [""; 0]);
    story.exits("bus", Exit::Code(0)).take();
    assert!(story.manager.may_be_called("bus"));
    assert_eq!(story.event(knock("bus")).spawned(), ["bus"]);

    story.event(knock("hopeless")).executed("hopeless");
    story.exits("hopeless", Exit::Code(1)).take();
    assert!(!story.manager.may_be_called("hopeless"));
    assert_eq!(story.event(knock("hopeless")).spawned(), [""; 0]);
    story
        .ask(
            1,
            Request::PowerOff {
                words: Words::default(),
            },
        )
        .take();
    assert!(
        !story.manager.may_be_called("bus"),
        "nothing starts in a machine that goes down"
    );
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
        commit: None,
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
fn a_boot_on_trial_that_cannot_be_committed_is_left() {
    for commit in [None, Some("commit".to_owned())] {
        let policy = BootPolicy {
            target: "boot-complete".into(),
            within: Duration::from_secs(300),
            otherwise: Otherwise::Reboot,
            commit: commit.clone(),
        };
        let units = vec![
            unit("boot-complete", "", ""),
            unit("commit", "requires = [\"boot-complete\"]", "restart = \"never\""),
        ];
        let mut story = Story::with_policy(units, policy);
        story.boot();
        assert!(story.is_up("boot-complete"));
        story.exits("commit", Exit::Code(1));
        assert_eq!(story.manager.is_shutting_down(), commit.is_some());
    }
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

#[test]
fn the_first_start_of_a_unit_is_remembered() {
    let mut story = Story::of(vec![unit("a", "", SERVICE)]);
    let times = |story: &Story| {
        let status = story.manager.entries()["a"].to_status();
        (status.started_us, status.up_us)
    };
    assert_eq!(times(&story), (None, None));
    story.boot().executed("a").after(20);
    assert_eq!(times(&story), (Some(5_000_000), None));
    story.ready("a");
    assert_eq!(times(&story), (Some(5_000_000), Some(5_020_000)));
    story.after(1_000).ask(1, Request::Restart { unit: "a".into() });
    story.exits("a", Exit::Code(0)).executed("a").ready("a");
    assert_eq!(times(&story), (Some(5_000_000), Some(5_020_000)));
}

#[test]
fn a_unit_with_nothing_to_do_rests_without_failure_and_what_comes_after_it_starts() {
    let mut story = Story::of(vec![
        unit("access", "", "restart = \"on-failure\""),
        unit("once", "", "oneshot"),
        unit("late", "after = [\"access\"]\nrequires = [\"once\"]", "oneshot"),
    ]);
    let mut manager = story.manager.clone();
    manager.step(story.now, Event::Boot);
    for name in ["access", "once"] {
        let unit = name.to_owned();
        story.actions.extend(manager.step(story.now, Event::Unneeded { unit }));
    }
    assert_eq!(story.spawned(), ["late"]);
    assert_eq!(manager.entries()["access"].state, State::Stopped);
    assert_eq!(manager.entries()["once"].state, State::Done);
    assert_eq!(story.failures(), [""; 0]);
}
