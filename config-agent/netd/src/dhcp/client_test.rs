//! The client against scripted servers and time.

use super::super::packet::code;
use super::*;
use proptest::prelude::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const LEASE: u64 = 3600;

fn at(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

fn client(now: Instant) -> Client {
    let identity = Identity {
        mac: MAC,
        hostname: Some("web-1".into()),
    };
    Client::new(identity, Random::seeded(1), now)
}

fn sent(actions: &[Action]) -> (&Packet, Destination) {
    match actions {
        [.., Action::Send(packet, to)] => (packet, *to),
        other => panic!("nothing sent: {other:?}"),
    }
}

fn reply(to: &Packet, kind: Kind, address: Ipv4Addr) -> Packet {
    let mut packet = Packet::request(kind, to.transaction, MAC);
    packet.direction = Direction::Reply;
    packet.yours = address;
    packet.options.insert(code::SERVER, SERVER.octets().to_vec());
    packet.options.insert(code::SUBNET_MASK, vec![255, 255, 255, 0]);
    packet
        .options
        .insert(code::LEASE_TIME, u32::try_from(LEASE).unwrap().to_be_bytes().to_vec());
    packet
}

fn configured(actions: &[Action]) -> Option<Ipv4Addr> {
    actions.iter().find_map(|action| match action {
        Action::Configure(lease) => Some(lease.address),
        _ => None,
    })
}

fn lost(actions: &[Action]) -> Option<Reason> {
    actions.iter().find_map(|action| match action {
        Action::Deconfigure(reason) => Some(*reason),
        _ => None,
    })
}

const FRESH: Event<'static> = Event::Carrier { previous: None };

/// Through offer and acknowledgement.
fn bound(start: Instant) -> Client {
    let mut client = client(start);
    let actions = client.step(start, FRESH);
    let offer = reply(sent(&actions).0, Kind::Offer, ADDRESS);
    let actions = client.step(start, Event::Packet(&offer));
    let ack = reply(sent(&actions).0, Kind::Ack, ADDRESS);
    assert_eq!(configured(&client.step(start, Event::Packet(&ack))), Some(ADDRESS));
    client
}

#[test]
fn discover_offer_request_ack() {
    let now = Instant::now();
    let mut client = client(now);
    assert_eq!(client.deadline(), None);
    let actions = client.step(now, FRESH);
    let (discover, to) = sent(&actions);
    assert_eq!((discover.kind(), to), (Some(Kind::Discover), Destination::Link));
    assert_eq!(discover.options[&code::CLIENT_ID], [1, 2, 0, 0, 0, 0, 1]);
    assert_eq!(discover.options[&code::HOSTNAME], b"web-1");
    assert!(client.wants_raw_link());
    let offer = reply(discover, Kind::Offer, ADDRESS);
    let actions = client.step(now, Event::Packet(&offer));
    let (request, to) = sent(&actions);
    assert_eq!((request.kind(), to), (Some(Kind::Request), Destination::Link));
    assert_eq!(request.options[&code::REQUESTED_ADDRESS], ADDRESS.octets());
    assert_eq!(request.options[&code::SERVER], SERVER.octets());
    let ack = reply(request, Kind::Ack, ADDRESS);
    assert_eq!(configured(&client.step(now, Event::Packet(&ack))), Some(ADDRESS));
    assert!(!client.wants_raw_link());
    assert_eq!(client.deadline(), Some(at(now, LEASE / 2)));
}

#[test]
fn silence_is_met_with_patience() {
    let start = Instant::now();
    let mut client = client(start);
    client.step(start, FRESH);
    let mut waits = Vec::new();
    let mut now = start;
    for _ in 0..9 {
        let deadline = client.deadline().unwrap();
        waits.push((deadline - now).as_secs_f64());
        now = deadline;
        assert_eq!(sent(&client.step(now, Event::Deadline)).0.kind(), Some(Kind::Discover));
    }
    for (wait, base) in waits.iter().zip([0.3, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 64.0]) {
        assert!((wait / base - 1.0).abs() <= 0.1001, "{waits:?}");
    }
    assert!(
        sent(&client.step(client.deadline().unwrap(), Event::Deadline))
            .0
            .seconds
            > 200
    );
}

#[test]
fn a_server_that_offers_but_does_not_grant_is_given_up() {
    let start = Instant::now();
    let mut client = client(start);
    let actions = client.step(start, FRESH);
    let offer = reply(sent(&actions).0, Kind::Offer, ADDRESS);
    client.step(start, Event::Packet(&offer));
    let kinds: Vec<_> = (0..4)
        .map(|_| {
            sent(&client.step(client.deadline().unwrap(), Event::Deadline))
                .0
                .kind()
                .unwrap()
        })
        .collect();
    assert_eq!(kinds, [Kind::Request, Kind::Request, Kind::Request, Kind::Discover]);
}

#[test]
fn packets_of_others_are_ignored() {
    let now = Instant::now();
    let mut client = client(now);
    let actions = client.step(now, FRESH);
    let good = reply(sent(&actions).0, Kind::Offer, ADDRESS);
    let table = [
        Packet {
            transaction: good.transaction ^ 1,
            ..good.clone()
        },
        Packet {
            mac: [9; 6],
            ..good.clone()
        },
        Packet {
            direction: Direction::Request,
            ..good.clone()
        },
        Packet {
            yours: Ipv4Addr::UNSPECIFIED,
            ..good.clone()
        },
        reply(&good, Kind::Ack, ADDRESS),
        reply(&good, Kind::Nak, ADDRESS),
    ];
    for packet in table {
        assert_eq!(client.step(now, Event::Packet(&packet)), [], "{packet:?}");
    }
    assert!(!client.step(now, Event::Packet(&good)).is_empty());
}

#[test]
fn a_refused_request_starts_over_after_a_moment() {
    let now = Instant::now();
    let mut client = client(now);
    let actions = client.step(now, FRESH);
    let offer = reply(sent(&actions).0, Kind::Offer, ADDRESS);
    let actions = client.step(now, Event::Packet(&offer));
    let request = sent(&actions).0.clone();
    let mut foreign = reply(&request, Kind::Nak, ADDRESS);
    foreign.options.insert(code::SERVER, vec![9, 9, 9, 9]);
    assert_eq!(
        client.step(now, Event::Packet(&foreign)),
        [],
        "a server we did not choose"
    );
    let nak = reply(&request, Kind::Nak, ADDRESS);
    assert_eq!(client.step(now, Event::Packet(&nak)), []);
    assert_eq!(client.deadline(), Some(at(now, 1)));
    assert_eq!(
        sent(&client.step(at(now, 1), Event::Deadline)).0.kind(),
        Some(Kind::Discover)
    );
}

#[test]
fn the_lease_is_renewed_by_its_server() {
    let start = Instant::now();
    let mut client = bound(start);
    assert_eq!(client.step(at(start, 10), Event::Deadline), [], "not yet");
    let now = at(start, LEASE / 2);
    let actions = client.step(now, Event::Deadline);
    let (request, to) = sent(&actions);
    assert_eq!(
        to,
        Destination::Server {
            from: ADDRESS,
            to: SERVER
        }
    );
    assert_eq!(request.client, ADDRESS);
    assert!(!request.options.contains_key(&code::REQUESTED_ADDRESS) && !request.options.contains_key(&code::SERVER));
    assert_eq!(client.wants_address(), Some(ADDRESS));
    let ack = reply(request, Kind::Ack, ADDRESS);
    let actions = client.step(at(now, 1), Event::Packet(&ack));
    assert_eq!((configured(&actions), lost(&actions)), (Some(ADDRESS), None));
    assert_eq!(client.deadline(), Some(at(now, LEASE / 2)), "counts from the request");
}

#[test]
fn then_by_anyone_then_it_ends() {
    let start = Instant::now();
    let mut client = bound(start);
    let mut kinds = Vec::new();
    let (expired, now) = loop {
        let now = client.deadline().unwrap();
        let actions = client.step(now, Event::Deadline);
        if let Some(reason) = lost(&actions) {
            assert_eq!(sent(&actions).0.kind(), Some(Kind::Discover));
            break (reason, now);
        }
        kinds.push(((now - start).as_secs(), sent(&actions).1));
    };
    assert_eq!(expired, Reason::Expired);
    assert_eq!(now, at(start, LEASE));
    let (server, everyone): (Vec<_>, Vec<_>) = kinds
        .into_iter()
        .partition(|(_, to)| matches!(to, Destination::Server { .. }));
    let rebind = LEASE * 7 / 8;
    assert!(
        server.iter().all(|(second, _)| (LEASE / 2..rebind).contains(second)),
        "{server:?}"
    );
    assert!(
        everyone
            .iter()
            .all(|(second, to)| *second >= rebind && *to == Destination::Everyone(ADDRESS))
    );
    assert!(
        (3..8).contains(&server.len()) && (2..8).contains(&everyone.len()),
        "{server:?} {everyone:?}"
    );
}

#[test]
fn a_refusal_takes_the_address_away() {
    let start = Instant::now();
    let mut client = bound(start);
    let now = at(start, LEASE / 2);
    let actions = client.step(now, Event::Deadline);
    let nak = reply(sent(&actions).0, Kind::Nak, Ipv4Addr::UNSPECIFIED);
    let actions = client.step(now, Event::Packet(&nak));
    assert_eq!(lost(&actions), Some(Reason::Refused));
    assert_eq!(sent(&actions).0.kind(), Some(Kind::Discover));
}

#[test]
fn after_a_cut_the_same_address_is_asked_for() {
    let start = Instant::now();
    let mut client = bound(start);
    assert_eq!(client.step(at(start, 5), Event::NoCarrier), []);
    assert_eq!(client.deadline(), None);
    let now = at(start, 60);
    let actions = client.step(now, FRESH);
    let (request, to) = sent(&actions);
    assert_eq!((request.kind(), to), (Some(Kind::Request), Destination::Link));
    assert_eq!(request.options[&code::REQUESTED_ADDRESS], ADDRESS.octets());
    assert!(!request.options.contains_key(&code::SERVER));
    let other = Ipv4Addr::new(10, 0, 2, 16);
    let ack = reply(request, Kind::Ack, other);
    let actions = client.step(now, Event::Packet(&ack));
    assert_eq!(
        (lost(&actions), configured(&actions)),
        (Some(Reason::Refused), Some(other))
    );
}

#[test]
fn in_another_network_the_old_address_is_given_up() {
    let start = Instant::now();
    let mut client = bound(start);
    client.step(at(start, 5), Event::NoCarrier);
    let mut actions = client.step(at(start, 60), FRESH);
    for _ in 0..4 {
        assert_eq!(sent(&actions).0.kind(), Some(Kind::Request));
        actions = client.step(client.deadline().unwrap(), Event::Deadline);
    }
    assert_eq!(sent(&actions).0.kind(), Some(Kind::Discover));
    let mut late = bound(start);
    late.step(at(start, 5), Event::NoCarrier);
    let actions = late.step(at(start, LEASE), FRESH);
    assert_eq!(sent(&actions).0.kind(), Some(Kind::Discover), "expired meanwhile");
}

#[test]
fn an_address_of_another_life_is_asked_for() {
    let now = Instant::now();
    let mut client = client(now);
    let actions = client.step(
        now,
        Event::Carrier {
            previous: Some(ADDRESS),
        },
    );
    assert_eq!(sent(&actions).0.options[&code::REQUESTED_ADDRESS], ADDRESS.octets());
    let nak = reply(sent(&actions).0, Kind::Nak, Ipv4Addr::UNSPECIFIED);
    let actions = client.step(now, Event::Packet(&nak));
    assert_eq!(lost(&actions), Some(Reason::Refused), "it may not be used");
}

#[test]
fn a_lease_for_ever_is_never_renewed() {
    let now = Instant::now();
    let mut client = client(now);
    let actions = client.step(now, FRESH);
    let offer = reply(sent(&actions).0, Kind::Offer, ADDRESS);
    let actions = client.step(now, Event::Packet(&offer));
    let mut ack = reply(sent(&actions).0, Kind::Ack, ADDRESS);
    ack.options.insert(code::LEASE_TIME, vec![0xff; 4]);
    client.step(now, Event::Packet(&ack));
    assert_eq!(client.deadline(), None);
}

#[derive(Debug, Clone)]
enum Happening {
    Carrier(bool),
    NoCarrier,
    Answer(Kind, u8),
    Time(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    let kinds = prop::sample::select(vec![Kind::Offer, Kind::Ack, Kind::Nak]);
    prop_oneof![
        any::<bool>().prop_map(Happening::Carrier),
        Just(Happening::NoCarrier),
        (kinds, 10u8..13).prop_map(|(kind, last)| Happening::Answer(kind, last)),
        (0u64..5000).prop_map(Happening::Time),
    ]
}

proptest! {
    /// Whatever happens: an address is only in use between Configure and Deconfigure and before its end, and a
    /// client with a carrier and no lease always has a next step.
    #[test]
    fn the_address_is_never_used_beyond_its_lease(happenings in prop::collection::vec(happening(), 0..60)) {
        let mut now = Instant::now();
        let mut client = client(now);
        let (mut carrier, mut lease_end, mut last) = (false, None, None);
        for happening in happenings {
            let actions = match happening {
                Happening::Carrier(previous) => {
                    carrier = true;
                    client.step(now, Event::Carrier { previous: previous.then_some(ADDRESS) })
                }
                Happening::NoCarrier => {
                    carrier = false;
                    client.step(now, Event::NoCarrier)
                }
                Happening::Answer(kind, end) => match &last {
                    Some(packet) => client.step(now, Event::Packet(&reply(packet, kind, [10, 0, 2, end].into()))),
                    None => Vec::new(),
                },
                Happening::Time(seconds) => {
                    let target = at(now, seconds);
                    match client.deadline().filter(|deadline| *deadline <= target) {
                        Some(deadline) => now = deadline.max(now),
                        None => now = target,
                    }
                    client.step(now, Event::Deadline)
                }
            };
            for action in &actions {
                match action {
                    Action::Configure(lease) => lease_end = Some(now + lease.duration.unwrap()),
                    Action::Deconfigure(_) => lease_end = None,
                    Action::Send(packet, _) => last = Some(packet.clone()),
                }
            }
            if carrier {
                prop_assert!(client.deadline().is_some());
                if let (Some(end), Some(address)) = (lease_end, client.wants_address()) {
                    prop_assert!(now <= end, "{address} used after its end");
                }
            } else {
                prop_assert_eq!(client.deadline(), None);
            }
        }
    }
}
