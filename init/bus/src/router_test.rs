//! What the broker lets through, by messages alone.

use keelson_image_layout::BusAccess;

use super::*;
use crate::objects::{manager, unit};

fn container(letter: &str, access: BusAccess) -> Caller {
    Caller {
        access,
        place: Place::Container(letter.repeat(64)),
    }
}

fn call(destination: &str, interface: &str, member: &str, text: &str) -> Message {
    Message::method_call(manager::PATH, member)
        .destination(destination)
        .interface(interface)
        .build(&text)
        .unwrap()
}

fn bus(member: &str, text: &str) -> Message {
    call(BUS, BUS, member, text)
}

/// A broker with one client that has said hello.
fn with_client(access: BusAccess) -> (Router, ClientId) {
    let mut router = Router::new("00");
    let id = router.add(container("a", access)).unwrap();
    let effects = router.from_client(id, &bus("Hello", ""));
    assert_eq!(effects.len(), 2, "an answer, and the name: {effects:?}");
    (router, id)
}

/// Name of the only error that went back.
fn error(effects: &[Effect]) -> String {
    match effects {
        [Effect::Send(_, message)] => message.header().error_name().unwrap().to_string(),
        other => panic!("not one answer: {other:?}"),
    }
}

fn answer_text(effects: &[Effect]) -> String {
    match effects.first() {
        Some(Effect::Send(_, message)) => message.body().deserialize().unwrap(),
        other => panic!("no answer: {other:?}"),
    }
}

#[test]
fn before_hello_nothing_is_said() {
    let mut router = Router::new("00");
    let id = router.add(container("a", BusAccess::Operate)).unwrap();
    for message in [
        bus("ListNames", ""),
        call(manager::NAME, manager::NAME, "ListUnits", ""),
    ] {
        let effects = router.from_client(id, &message);
        assert!(matches!(effects.as_slice(), [Effect::Close(_)]), "{effects:?}");
    }
}

#[test]
fn calls_reach_our_objects_with_their_true_sender_and_only_if_granted() {
    let (mut router, id) = with_client(BusAccess::Read);
    let lying = Message::method_call(manager::PATH, "ListUnits")
        .sender(":1.99")
        .destination(manager::NAME)
        .interface(manager::NAME)
        .build(&())
        .unwrap();
    let effects = router.from_client(id, &lying);
    let [Effect::Call(passed)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(passed.header().sender().unwrap().as_str(), ":1.1");
    assert_eq!(router.place_of(":1.1"), Some(&Place::Container("a".repeat(64))));

    for (destination, interface, member) in [
        (manager::NAME, manager::NAME, "Reboot"),
        (SERVICE, manager::NAME, "StopUnit"),
        (SERVICE, unit::NAME, "Start"),
    ] {
        let effects = router.from_client(id, &call(destination, interface, member, "x"));
        assert_eq!(error(&effects), "org.keelson.Error.NotGranted", "{member}");
    }
    let effects = router.from_client(id, &call(SERVICE, "org.freedesktop.DBus.Properties", "Set", "x"));
    assert_eq!(error(&effects), "org.freedesktop.DBus.Error.UnknownMethod");
}

#[test]
fn clients_do_not_reach_each_other_and_own_no_names() {
    let (mut router, id) = with_client(BusAccess::Operate);
    let other = router.add(container("b", BusAccess::Operate)).unwrap();
    router.from_client(other, &bus("Hello", ""));
    let effects = router.from_client(id, &call(":1.2", "a.b", "C", "x"));
    assert_eq!(error(&effects), "org.freedesktop.DBus.Error.ServiceUnknown");
    let signal = Message::signal("/", "org.keelson.Manager1", "BootCompleted")
        .build(&())
        .unwrap();
    assert!(router.from_client(id, &signal).is_empty());

    for name in ["org.keelson.Manager1", "org.keelson.Anything", "com.example.Mine"] {
        let request = Message::method_call("/org/freedesktop/DBus", "RequestName")
            .destination(BUS)
            .interface(BUS)
            .build(&(name, 0_u32))
            .unwrap();
        assert_eq!(
            error(&router.from_client(id, &request)),
            "org.freedesktop.DBus.Error.AccessDenied"
        );
    }
    assert_eq!(
        answer_text(&router.from_client(id, &bus("GetNameOwner", manager::NAME))),
        SERVICE
    );
    let hidden = router.from_client(id, &bus("GetNameOwner", ":1.2"));
    assert_eq!(error(&hidden), "org.freedesktop.DBus.Error.NameHasNoOwner");
}

#[test]
fn signals_go_to_who_asked_for_them() {
    let (mut router, id) = with_client(BusAccess::Read);
    let signal = |member: &str| {
        Message::signal(manager::PATH, manager::NAME, member)
            .build(&"netd")
            .unwrap()
    };
    assert!(router.from_service(&signal("UnitStateChanged")).is_empty());
    let rule = "type='signal',sender='org.keelson.Manager1',member='UnitStateChanged',arg0='netd'";
    assert!(answer_is_empty(&router.from_client(id, &bus("AddMatch", rule))));
    let effects = router.from_service(&signal("UnitStateChanged"));
    assert!(
        matches!(effects.as_slice(), [Effect::Send(to, _)] if *to == id),
        "{effects:?}"
    );
    assert!(router.from_service(&signal("BootCompleted")).is_empty());
    assert!(answer_is_empty(&router.from_client(id, &bus("RemoveMatch", rule))));
    assert!(router.from_service(&signal("UnitStateChanged")).is_empty());
    let again = router.from_client(id, &bus("RemoveMatch", rule));
    assert_eq!(error(&again), "org.freedesktop.DBus.Error.MatchRuleNotFound");
    let other = "type='signal',sender='com.example.Other'";
    router.from_client(id, &bus("AddMatch", other));
    assert!(router.from_service(&signal("UnitStateChanged")).is_empty());
}

fn answer_is_empty(effects: &[Effect]) -> bool {
    matches!(effects, [Effect::Send(_, message)] if message.message_type() == Type::MethodReturn)
}

#[test]
fn a_monitor_gets_copies_and_may_not_speak() {
    let (mut router, id) = with_client(BusAccess::Operate);
    let monitor = router.add(container("b", BusAccess::Read)).unwrap();
    router.from_client(monitor, &bus("Hello", ""));
    let become_one = Message::method_call("/org/freedesktop/DBus", "BecomeMonitor")
        .destination(BUS)
        .interface("org.freedesktop.DBus.Monitoring")
        .build(&(Vec::<&str>::new(), 0_u32))
        .unwrap();
    let effects = router.from_client(monitor, &become_one);
    let lost =
        |effect: &Effect| matches!(effect, Effect::Send(_, m) if m.header().member().is_some_and(|m| m == "NameLost"));
    assert!(effects.iter().any(lost), "{effects:?}");

    let effects = router.from_client(id, &call(manager::NAME, manager::NAME, "Reboot", "why"));
    assert!(
        matches!(effects.as_slice(), [Effect::Send(to, _), Effect::Call(_)] if *to == monitor),
        "{effects:?}"
    );
    let effects = router.from_client(monitor, &bus("ListNames", ""));
    assert!(matches!(effects.as_slice(), [Effect::Close(_)]), "{effects:?}");
}

#[test]
fn everything_is_bounded() {
    let (mut router, id) = with_client(BusAccess::Read);
    let list = || call(manager::NAME, manager::NAME, "ListUnits", "");
    let mut calls = Vec::new();
    for _ in 0..MOST_CALLS {
        match router.from_client(id, &list()).as_slice() {
            [Effect::Call(call)] => calls.push(call.clone()),
            other => panic!("{other:?}"),
        }
    }
    let effects = router.from_client(id, &list());
    assert_eq!(error(&effects), "org.freedesktop.DBus.Error.LimitsExceeded");
    let reply = Message::method_return(&calls[0].header()).build(&()).unwrap();
    assert!(matches!(router.from_service(&reply).as_slice(), [Effect::Send(..)]));
    assert!(matches!(router.from_client(id, &list()).as_slice(), [Effect::Call(_)]));

    for number in 0..=MOST_RULES {
        let effects = router.from_client(id, &bus("AddMatch", &format!("type='signal',arg0='{number}'")));
        assert_eq!(answer_is_empty(&effects), number < MOST_RULES, "{number}");
    }
    let long = format!("type='signal',arg0='{}'", "x".repeat(2000));
    let effects = router.from_client(id, &bus("AddMatch", &long));
    assert_eq!(error(&effects), "org.freedesktop.DBus.Error.MatchRuleInvalid");

    let more = (1..MOST_OF_A_PLACE).all(|_| router.add(container("a", BusAccess::Read)).is_ok());
    assert!(more && router.add(container("a", BusAccess::Read)).is_err());
    let letters = ["b", "c", "d"];
    let others = letters.iter().flat_map(|letter| [*letter; MOST_OF_A_PLACE]);
    let all = others.map(|letter| router.add(container(letter, BusAccess::Read)).is_ok());
    assert_eq!(all.filter(|added| *added).count(), MOST_CLIENTS - MOST_OF_A_PLACE);
    assert!(router.add(container("e", BusAccess::Read)).is_err());
    router.remove(id);
    assert!(router.add(container("e", BusAccess::Read)).is_ok());
}
