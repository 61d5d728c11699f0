//! How units stop, and how the machine goes down.

use keelson_image_layout::boot_history::Asker;
use keelson_manager_api::{PowerKind, Refusal, Reply, Request, Words};

use super::{SERVICE, Story, unit};
use crate::manager::{Action, Authority, Connection, Event, Exit};

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
fn shutdown_stops_in_order_then_the_rest_then_the_machine() {
    let mut story = Story::of(vec![unit("a", "", SERVICE), unit("b", "requires = [\"a\"]", SERVICE)]);
    story.boot().ready("a").ready("b").take();
    let (first, second) = (story.pid("b"), story.pid("a"));
    story.event(Event::AskedToReboot { asker: Asker::Keyboard });
    let actions = story.take();
    let place = |wanted: &Action| actions.iter().position(|action| action == wanted).expect("the action");
    let (word, stop) = (
        Action::AnnounceEnd {
            kind: PowerKind::Reboot,
            asker: Asker::Keyboard,
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
    story.boot().executed("stuck").event(Event::AskedToPowerOff {
        asker: Asker::PowerButton,
    });
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
        .event(Event::AskedToReboot { asker: Asker::Keyboard })
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
fn the_end_tells_who_asked_for_it() {
    let words = Words {
        person: Some("core".into()),
        why: Some("new kernel".into()),
    };
    let mut story = Story::of(vec![unit("a", "", SERVICE)]);
    story.boot().ready("a").take();
    story.event(Event::Asked {
        connection: Connection(1),
        id: 1,
        authority: Authority::Control,
        unit: Some("access".into()),
        request: Request::PowerOff { words: words.clone() },
    });
    let expected = Action::AnnounceEnd {
        kind: PowerKind::PowerOff,
        asker: Asker::request(Some("access".into()), words.person, words.why),
    };
    assert!(story.take().contains(&expected));
}
