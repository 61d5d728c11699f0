//! How units that end come back, and when they are given up.

use keelson_manager_api::Request;

use super::{SERVICE, Story, unit};
use crate::manager::{Action, Event, Exit, Notification, state::State};

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
