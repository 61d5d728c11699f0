//! The control socket: replies, authority, notices.

use keelson_image_layout::boot_history::Asker;
use keelson_manager_api::{Notice, PowerKind, Refusal, Reply, Request, Words};

use super::{SERVICE, Story, unit};
use crate::manager::{Action, Authority, Connection, Event, Exit};

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
        (
            Authority::Read,
            Request::Reboot {
                words: Words::default(),
            },
            false,
        ),
        (Authority::Read, Request::Stop { unit: "a".into() }, false),
        (Authority::Control, Request::Status { unit: "a".into() }, true),
    ] {
        story.event(Event::Asked {
            connection: Connection(1),
            id: 1,
            authority,
            unit: None,
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
    story.event(Event::AskedToPowerOff {
        asker: Asker::PowerButton,
    });
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
