//! Tables for the records: who sees what, and when records go.

use super::*;

fn network(name: &str, third: u8, forward: bool) -> Body {
    Body::SetNetwork {
        network: Network {
            name: name.into(),
            gateways: vec![[172, 18, third, 1].into()],
            subnets: vec![format!("172.18.{third}.0/24").parse().unwrap()],
            forward,
        },
    }
}

fn record(network: &str, name: &str, third: u8, last: u8, owner: &str) -> Record {
    let address = [172, 18, third, last].into();
    Record {
        network: network.into(),
        name: name.into(),
        address,
        owner: owner.into(),
    }
}

fn add(records: &[Record]) -> Body {
    Body::Add {
        records: records.to_vec(),
    }
}

fn ip(third: u8, last: u8) -> IpAddr {
    [172, 18, third, last].into()
}

/// Networks app (0) and back (1, internal); web is on app, api on both, db on back.
fn sample(name: Option<&str>) -> (Records, SessionId) {
    let mut records = Records::default();
    let id = records.open(name.map(str::to_owned));
    for body in [
        network("app", 0, true),
        network("back", 1, false),
        add(&[
            record("app", "Web", 0, 2, "w"),
            record("app", "api", 0, 3, "a"),
            record("back", "api", 1, 3, "a"),
            record("back", "db", 1, 4, "d"),
            record("back", "db", 1, 5, "e"),
        ]),
    ] {
        records.apply(id, body).unwrap();
    }
    (records, id)
}

#[test]
fn each_network_sees_its_own() {
    let (records, _) = sample(None);
    let table = [
        (ip(0, 2), ip(0, 1), "web", Some(vec![ip(0, 2)])),
        (ip(0, 2), ip(0, 1), "WEB.", Some(vec![ip(0, 2)])),
        (ip(0, 2), ip(0, 1), "web.app", Some(vec![ip(0, 2)])),
        (ip(0, 2), ip(0, 1), "db", None),
        (ip(1, 4), ip(1, 1), "db", Some(vec![ip(1, 4), ip(1, 5)])),
        (ip(1, 4), ip(1, 1), "web", None),
        (ip(0, 3), ip(0, 1), "db", Some(vec![ip(1, 4), ip(1, 5)])),
        (ip(0, 3), ip(0, 1), "api", Some(vec![ip(0, 3)])),
        (ip(1, 3), ip(1, 1), "api", Some(vec![ip(1, 3)])),
        (ip(1, 3), ip(1, 1), "api.app", Some(vec![ip(0, 3)])),
    ];
    for (client, gateway, name, expected) in table {
        let view = records.view(client, gateway).unwrap();
        assert_eq!(view.addresses(name), expected, "{client} asks for {name}");
    }
}

#[test]
fn strangers_see_nothing() {
    let (records, _) = sample(None);
    for (client, gateway) in [
        (ip(1, 4), ip(0, 1)),
        ([10, 0, 0, 9].into(), ip(0, 1)),
        (ip(0, 2), [127, 0, 0, 1].into()),
    ] {
        assert!(records.view(client, gateway).is_none(), "{client} at {gateway}");
    }
    assert_eq!(records.host_view([127, 0, 0, 1].into()).addresses("web"), None);
}

#[test]
fn only_members_of_a_network_that_leads_outside_are_forwarded() {
    let (records, _) = sample(None);
    let forward = |client, gateway| records.view(client, gateway).unwrap().forward;
    assert!(forward(ip(0, 2), ip(0, 1)));
    assert!(!forward(ip(1, 4), ip(1, 1)));
    assert!(forward(ip(1, 3), ip(1, 1)), "its other network does");
}

#[test]
fn reverse_names() {
    let (records, _) = sample(None);
    let view = records.view(ip(0, 2), ip(0, 1)).unwrap();
    assert_eq!(view.name_of(ip(0, 2)).as_deref(), Some("web.app"));
    assert_eq!(view.name_of(ip(1, 4)), None);
    assert!(view.owns(ip(0, 77)) && !view.owns(ip(1, 4)));
}

#[test]
fn a_bad_record_refuses_the_whole_request() {
    let (mut records, id) = sample(None);
    let bad = [record("app", "new", 0, 9, "n"), record("none", "x", 0, 9, "n")];
    assert_eq!(records.apply(id, add(&bad)), Err(RecordError::Network("none".into())));
    let bad = [record("app", "new", 0, 9, "n"), record("app", "a b", 0, 9, "n")];
    assert_eq!(records.apply(id, add(&bad)), Err(RecordError::Name("a b".into())));
    assert_eq!(records.view(ip(0, 2), ip(0, 1)).unwrap().addresses("new"), None);
    assert_eq!(records.len(), 5);
}

#[test]
fn records_and_networks_are_removed() {
    let (mut records, id) = sample(None);
    records
        .apply(
            id,
            Body::Remove {
                records: vec![record("back", "DB", 1, 4, "d")],
            },
        )
        .unwrap();
    assert_eq!(
        records.view(ip(1, 5), ip(1, 1)).unwrap().addresses("db"),
        Some(vec![ip(1, 5)])
    );
    records.apply(id, Body::RemoveNetwork { name: "back".into() }).unwrap();
    assert!(records.view(ip(1, 5), ip(1, 1)).is_none());
    assert_eq!(records.gateways(), [ip(0, 1)].into());
}

#[test]
fn records_without_a_session_name_vanish_with_the_connection() {
    let (mut records, id) = sample(None);
    records.close(id, Instant::now());
    assert!(records.is_empty() && records.gateways().is_empty());
}

#[test]
fn a_named_session_has_time_to_come_back() {
    let (mut records, id) = sample(Some("engine"));
    let now = Instant::now();
    records.close(id, now);
    assert_eq!(records.next_end(), Some(now + GRACE));
    assert!(!records.expire(now + GRACE / 2));
    assert_eq!(records.len(), 5);
    assert!(records.expire(now + GRACE));
    assert!(records.is_empty());
}

#[test]
fn what_is_not_pushed_again_goes_when_settled() {
    let (mut records, old) = sample(Some("engine"));
    let now = Instant::now();
    let new = records.open(Some("engine".into()));
    // The old connection is noticed late.
    records.close(old, now);
    assert_eq!(records.next_end(), None);
    records.apply(new, network("app", 0, true)).unwrap();
    records.apply(new, add(&[record("app", "web", 0, 2, "w")])).unwrap();
    assert_eq!(records.len(), 5, "nothing goes before");
    records.apply(new, Body::Settled).unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records.gateways(), [ip(0, 1)].into());
}
