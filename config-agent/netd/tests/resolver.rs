//! The resolver in front of a real name server, for the host and for a container.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use support::{CONTAINER, GATEWAY, Lab, data, eventually};

const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn lab() -> Option<Lab> {
    let mut lab = Lab::new()?;
    lab.start_router(&[])?;
    lab.start_daemon();
    lab.leased();
    Some(lab)
}

/// An owner of records.
struct Owner(rustix::fd::OwnedFd, u64);

impl Owner {
    fn connect(path: &Path, session: Option<&str>) -> Self {
        let fd = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        connect(&fd, &SocketAddrUnix::new(path).unwrap()).unwrap();
        let owner = Self(fd, 0);
        let hello = owner.exchange(&json!({"protocol": "keelson-resolver", "version": 1, "session": session}));
        assert_eq!(hello, json!({"protocol": "keelson-resolver", "version": 1}));
        owner
    }

    fn exchange(&self, packet: &Value) -> Value {
        send(&self.0, packet.to_string().as_bytes(), SendFlags::empty()).unwrap();
        let mut buffer = vec![0; 65536];
        let (length, _) = recv(&self.0, buffer.as_mut_slice(), RecvFlags::empty()).unwrap();
        serde_json::from_slice(&buffer[..length]).unwrap_or_default()
    }

    fn request(&mut self, mut body: Value) -> Option<String> {
        self.1 += 1;
        body["id"] = self.1.into();
        let reply = self.exchange(&body);
        assert_eq!(reply["id"], self.1);
        reply["error"].as_str().map(str::to_owned)
    }

    fn push(&mut self, forward: bool) {
        let network = json!({"name": "app", "gateways": [GATEWAY], "subnets": ["172.30.0.0/24"], "forward": forward});
        assert_eq!(self.request(json!({"op": "set-network", "network": network})), None);
        let record = json!({"network": "app", "name": "web", "address": CONTAINER, "owner": "c1"});
        assert_eq!(self.request(json!({"op": "add", "records": [record]})), None);
    }
}

#[test]
fn privileged_the_host_resolves() {
    let Some(lab) = lab() else { return };
    let ask = |name: &str, kind| lab.machine.ask(LOCAL, name, kind).unwrap();
    assert_eq!(data(&ask("known.example.test.", RecordType::A)), ["192.0.2.7"]);
    assert_eq!(data(&ask("KNOWN.example.test.", RecordType::AAAA)), ["fd44::7"]);
    let absent = ask("absent.example.test.", RecordType::A);
    assert_eq!(absent.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(data(&ask("localhost.", RecordType::A)), ["127.0.0.1"]);
    let six: IpAddr = "::1".parse().unwrap();
    assert_eq!(
        data(&lab.machine.ask(six, "known.example.test.", RecordType::A).unwrap()),
        ["192.0.2.7"]
    );
    let stream = lab.machine.ask_stream(LOCAL, "known.example.test.", RecordType::A);
    assert_eq!(data(&stream), ["192.0.2.7"]);
}

#[test]
fn privileged_what_does_not_fit_is_fetched_over_a_stream() {
    let Some(lab) = lab() else { return };
    let short = lab.machine.ask(LOCAL, "big.example.test.", RecordType::TXT).unwrap();
    assert!(short.metadata.truncation && short.answers.is_empty());
    let full = lab.machine.ask_stream(LOCAL, "big.example.test.", RecordType::TXT);
    assert_eq!((full.metadata.truncation, full.answers.len()), (false, 8));
}

#[test]
fn privileged_without_a_server_what_was_known_stays_and_nothing_is_invented() {
    let Some(mut lab) = lab() else { return };
    assert_eq!(
        data(&lab.machine.ask(LOCAL, "known.example.test.", RecordType::A).unwrap()),
        ["192.0.2.7"]
    );
    lab.stop_router();
    // Its time to live is two seconds; then it is stale, and still better than nothing.
    eventually("a stale answer", 20, || {
        let answer = lab.machine.ask(LOCAL, "known.example.test.", RecordType::A)?;
        assert_eq!(data(&answer), ["192.0.2.7"]);
        (lab.status()["resolver"]["stale"].as_u64()? > 0 || answer.answers[0].ttl == 30).then_some(())
    });
    let unknown = lab.machine.ask(LOCAL, "never.example.test.", RecordType::A).unwrap();
    assert_eq!(unknown.metadata.response_code, ResponseCode::ServFail);
}

#[test]
fn privileged_a_container_sees_its_network_and_the_world() {
    let Some(lab) = lab() else { return };
    let mut owner = Owner::connect(&lab.path("resolver.sock"), None);
    owner.push(true);
    let ask = |name: &str| {
        eventually("an answer at the gateway", 5, || {
            lab.container.ask(GATEWAY, name, RecordType::A)
        })
    };
    assert_eq!(data(&ask("web.")), [CONTAINER.to_string()]);
    assert_eq!(data(&ask("web.app.")), [CONTAINER.to_string()]);
    assert_eq!(data(&ask("known.example.test.")), ["192.0.2.7"]);
    assert_eq!(
        data(&lab.container.ask_stream(GATEWAY, "web.", RecordType::A)),
        [CONTAINER.to_string()]
    );
    let host = lab.machine.ask(LOCAL, "web.", RecordType::A).unwrap();
    assert!(host.answers.is_empty(), "the host is no member: {host}");
    owner.push(false);
    assert_eq!(data(&ask("web.")), [CONTAINER.to_string()]);
    assert_eq!(ask("known.example.test.").metadata.response_code, ResponseCode::Refused);
    // With the owner go its records, and the place where they were served.
    drop(owner);
    eventually("silence at the gateway", 10, || {
        lab.container.inside(|| {
            let socket = std::net::UdpSocket::bind((CONTAINER, 0)).unwrap();
            socket.connect((GATEWAY, 53)).unwrap();
            socket.send(&[0; 12]).ok()?;
            std::thread::sleep(std::time::Duration::from_millis(20));
            socket.send(&[0; 12]).is_err().then_some(())
        })
    });
}

#[test]
fn privileged_strangers_are_refused() {
    let Some(lab) = lab() else { return };
    let mut owner = Owner::connect(&lab.path("resolver.sock"), None);
    owner.push(true);
    eventually("an answer at the gateway", 5, || {
        lab.container.ask(GATEWAY, "web.", RecordType::A)
    });
    // A neighbour of the machine sends to the gateway's address through the machine's own.
    let machine = lab.leased();
    let machine: Ipv4Addr = machine.split('/').next().unwrap().parse().unwrap();
    let mut route = lab.router.route();
    let lan = route.index_of("lan").unwrap();
    let to = keelson_netlink::Route {
        gateway: Some(machine.into()),
        ..keelson_netlink::Route::to(GATEWAY, 32).on(lan)
    };
    route.add_route(&to).unwrap();
    for name in ["web.", "known.example.test."] {
        let answer = lab.router.ask(GATEWAY, name, RecordType::A).unwrap();
        assert_eq!(answer.metadata.response_code, ResponseCode::Refused, "{name}");
    }
    assert!(
        lab.router.inside(|| {
            let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect((machine, 53)).unwrap();
            let _ = socket.send(&[0; 12]);
            std::thread::sleep(std::time::Duration::from_millis(100));
            socket.send(&[0; 12]).is_err()
        }),
        "nothing listens at the machine's outer address"
    );
}

#[test]
fn privileged_records_of_a_named_session_outlive_a_restart_of_their_owner() {
    let Some(lab) = lab() else { return };
    let path = lab.path("resolver.sock");
    let mut owner = Owner::connect(&path, Some("engine"));
    owner.push(true);
    let known = || {
        lab.container
            .ask(GATEWAY, "web.", RecordType::A)
            .map(|answer| data(&answer))
    };
    eventually("an answer at the gateway", 5, known);
    drop(owner);
    assert_eq!(known(), Some(vec![CONTAINER.to_string()]));
    let mut owner = Owner::connect(&path, Some("engine"));
    let network = json!({"name": "app", "gateways": [GATEWAY], "subnets": ["172.30.0.0/24"]});
    assert_eq!(owner.request(json!({"op": "set-network", "network": network})), None);
    assert_eq!(owner.request(json!({"op": "settled"})), None);
    let answer = lab.container.ask(GATEWAY, "web.", RecordType::A).unwrap();
    assert!(answer.answers.is_empty(), "not pushed again: gone");
}

#[test]
fn privileged_bad_requests_change_nothing_and_bad_frames_end_the_connection() {
    let Some(lab) = lab() else { return };
    let mut owner = Owner::connect(&lab.path("resolver.sock"), None);
    let record = json!({"network": "none", "name": "web", "address": CONTAINER});
    let error = owner.request(json!({"op": "add", "records": [record]}));
    assert_eq!(error.as_deref(), Some("there is no network \"none\" in this session"));
    owner.push(true);
    assert_eq!(
        owner.exchange(&json!({"id": 9, "op": "other"})),
        Value::Null,
        "the connection ends"
    );
}
