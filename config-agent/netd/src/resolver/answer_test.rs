//! Tables for decisions about queries and for judging servers.

use super::super::frame::{Body, Network, Record as Pushed};
use super::super::records::Records;
use super::*;
use std::str::FromStr;

const CLIENT: [u8; 4] = [172, 18, 0, 2];
const GATEWAY: [u8; 4] = [172, 18, 0, 1];

fn records(forward: bool) -> Records {
    let mut records = Records::default();
    let id = records.open(None);
    let network = Network {
        name: "app".into(),
        gateways: vec![GATEWAY.into()],
        subnets: vec!["172.18.0.0/16".parse().unwrap()],
        forward,
    };
    records.apply(id, Body::SetNetwork { network }).unwrap();
    let record = Pushed {
        network: "app".into(),
        name: "web".into(),
        address: CLIENT.into(),
        owner: "w".into(),
    };
    records.apply(id, Body::Add { records: vec![record] }).unwrap();
    records
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_str(name).unwrap(), kind));
    message
}

fn decided(name: &str, kind: RecordType, forward: bool) -> Decision {
    let records = records(forward);
    let view = records.view(CLIENT.into(), GATEWAY.into());
    let message = query(name, kind);
    decide(&message, check(&message).unwrap().unwrap(), view.as_ref())
}

#[test]
fn local_names_are_answered_and_exist_for_every_type() {
    let Decision::Reply(answer) = decided("WEB.", RecordType::A, true) else {
        panic!()
    };
    assert_eq!(answer.answers[0].data, RData::A(A(CLIENT.into())));
    for kind in [RecordType::AAAA, RecordType::MX, RecordType::TXT] {
        assert_eq!(
            decided("web.", kind, true),
            Decision::Reply(Answer::empty(ResponseCode::NoError)),
            "{kind}"
        );
    }
}

#[test]
fn reverse_names_of_the_network_are_not_asked_elsewhere() {
    let Decision::Reply(answer) = decided("2.0.18.172.in-addr.arpa.", RecordType::PTR, true) else {
        panic!()
    };
    assert_eq!(answer.answers[0].data.to_string(), "web.app.");
    let unknown = decided("9.0.18.172.in-addr.arpa.", RecordType::PTR, true);
    assert_eq!(unknown, Decision::Reply(Answer::empty(ResponseCode::NXDomain)));
    assert!(matches!(
        decided("8.8.8.8.in-addr.arpa.", RecordType::PTR, true),
        Decision::Forward(_)
    ));
}

#[test]
fn other_names_are_forwarded_where_that_is_allowed() {
    let Decision::Forward(key) = decided("Example.ORG.", RecordType::MX, true) else {
        panic!()
    };
    assert_eq!(
        (key.name.to_ascii().as_str(), key.kind),
        ("example.org.", RecordType::MX)
    );
    let refused = Decision::Reply(Answer::empty(ResponseCode::Refused));
    assert_eq!(decided("example.org.", RecordType::MX, false), refused);
    assert_eq!(decided("example.org.", RecordType::AXFR, true), refused);
}

#[test]
fn localhost_never_leaves_the_machine() {
    let Decision::Reply(answer) = decided("x.LocalHost.", RecordType::AAAA, false) else {
        panic!()
    };
    assert_eq!(answer.answers[0].data, RData::AAAA(AAAA(Ipv6Addr::LOCALHOST)));
}

#[test]
fn strangers_are_refused() {
    let message = query("localhost.", RecordType::A);
    let decision = decide(&message, &message.queries[0], None);
    assert_eq!(decision, Decision::Reply(Answer::empty(ResponseCode::Refused)));
}

#[test]
fn odd_queries_get_the_code_that_says_why() {
    let mut response = query("a.", RecordType::A);
    response.metadata.message_type = MessageType::Response;
    assert!(check(&response).is_none());
    let mut update = query("a.", RecordType::A);
    update.metadata.op_code = OpCode::Update;
    let mut two = query("a.", RecordType::A);
    two.add_query(Query::query(Name::root(), RecordType::A));
    let mut chaos = query("a.", RecordType::A);
    chaos.queries[0].set_query_class(DNSClass::CH);
    let mut future = query("a.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    future.edns = Some(edns);
    for (message, code) in [
        (update, ResponseCode::NotImp),
        (two, ResponseCode::FormErr),
        (chaos, ResponseCode::Refused),
        (future, ResponseCode::BADVERS),
    ] {
        assert_eq!(check(&message).unwrap().unwrap_err(), code);
    }
}

fn long_answer() -> Answer {
    let name = Name::from_str("a.example.").unwrap();
    let record = |last| Record::from_rdata(name.clone(), 60, RData::A(A([192, 0, 2, last].into())));
    Answer {
        answers: (0..100).map(record).collect(),
        ..Answer::empty(ResponseCode::NoError)
    }
}

#[test]
fn what_does_not_fit_is_marked_and_emptied() {
    let request = query("a.example.", RecordType::A);
    assert_eq!(datagram_limit(&request), 512);
    let short = Message::from_vec(&respond(&request, long_answer(), Some(512)).unwrap()).unwrap();
    assert!(short.metadata.truncation && short.answers.is_empty());
    let full = Message::from_vec(&respond(&request, long_answer(), None).unwrap()).unwrap();
    assert_eq!((full.metadata.truncation, full.answers.len()), (false, 100));
    assert_eq!(full.metadata.id, 7);
    assert!(full.metadata.recursion_available && full.metadata.recursion_desired);
    let mut request = request;
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    request.edns = Some(edns);
    assert_eq!(
        datagram_limit(&request),
        PAYLOAD,
        "never more than crosses every network"
    );
    let bytes = respond(&request, Answer::empty(ResponseCode::NoError), Some(PAYLOAD)).unwrap();
    assert!(Message::from_vec(&bytes).unwrap().edns.is_some());
}

fn key() -> Key {
    let name = Name::from_str("a.example.").unwrap();
    Key {
        name,
        kind: RecordType::A,
        dnssec: true,
        checking_disabled: false,
    }
}

#[test]
fn upstream_queries_ask_for_what_the_client_wanted() {
    let message = Message::from_vec(&upstream_query(&key(), 9, true).unwrap()).unwrap();
    assert!(message.metadata.recursion_desired && message.edns.unwrap().flags().dnssec_ok);
    let message = Message::from_vec(&upstream_query(&key(), 9, false).unwrap()).unwrap();
    assert!(message.edns.is_none());
}

#[test]
fn servers_are_judged() {
    let judged = |change: &dyn Fn(&mut Message)| {
        let mut message = query("A.example.", RecordType::A);
        message.metadata.message_type = MessageType::Response;
        message.metadata.id = 9;
        change(&mut message);
        judge(&message.to_vec().unwrap(), &key(), 9, true)
    };
    let code = |code| move |message: &mut Message| message.metadata.response_code = code;
    type Change<'a> = &'a dyn Fn(&mut Message);
    let table: [(&str, Verdict, Change<'_>); 10] = [
        ("good", Verdict::Answer(Answer::empty(ResponseCode::NoError)), &|_| {}),
        (
            "absent",
            Verdict::Answer(Answer::empty(ResponseCode::NXDomain)),
            &code(ResponseCode::NXDomain),
        ),
        ("another id", Verdict::Foreign, &|m| m.metadata.id = 10),
        ("a query", Verdict::Foreign, &|m| {
            m.metadata.message_type = MessageType::Query
        }),
        ("another name", Verdict::Foreign, &|m| {
            m.queries[0].name = Name::from_str("b.example.").unwrap()
        }),
        ("another type", Verdict::Foreign, &|m| {
            m.queries[0].query_type = RecordType::AAAA
        }),
        ("no question", Verdict::Foreign, &|m| m.queries.clear()),
        ("too long", Verdict::Truncated, &|m| m.metadata.truncation = true),
        ("no EDNS", Verdict::NoEdns, &code(ResponseCode::FormErr)),
        ("unable", Verdict::Unable, &code(ResponseCode::ServFail)),
    ];
    for (what, expected, change) in table {
        assert_eq!(judged(change), expected, "{what}");
    }
    assert_eq!(judge(b"nonsense", &key(), 9, true), Verdict::Foreign);
}
