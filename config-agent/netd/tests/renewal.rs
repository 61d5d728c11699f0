//! Renewal through real sockets, against a server that says when and can fall silent.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use keelson_netd::dhcp::frame::{CLIENT_PORT, SERVER_PORT};
use keelson_netd::dhcp::packet::{Direction, Kind, Packet, code};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Lab, ROUTER, eventually};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 44, 0, 77);
const BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 44, 0, 255);

/// Requests the server saw: kind, and the address the packet came from.
type Seen = Arc<Mutex<Vec<(Kind, IpAddr)>>>;

/// Renew after one second, rebind after three, a lease of thirty. Falls silent at the first renewal unless
/// it `renews`.
fn serve(lab: &Lab, renews: bool) -> Seen {
    let socket = lab.router.inside(|| UdpSocket::bind(("0.0.0.0", SERVER_PORT)).unwrap());
    socket.set_broadcast(true).unwrap();
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let request = Packet::parse(&buffer[..length]).unwrap();
            let kind = request.kind().unwrap();
            log.lock().unwrap().push((kind, from.ip()));
            if !renews && log.lock().unwrap().iter().any(|(_, from)| *from == ADDRESS) {
                continue;
            }
            let reply = reply(&request, if kind == Kind::Discover { Kind::Offer } else { Kind::Ack });
            let to = if request.client.is_unspecified() {
                BROADCAST
            } else {
                request.client
            };
            socket.send_to(&reply.encode(), (to, CLIENT_PORT)).unwrap();
        }
    });
    seen
}

fn reply(request: &Packet, kind: Kind) -> Packet {
    let mut reply = Packet::request(kind, request.transaction, request.mac);
    reply.direction = Direction::Reply;
    reply.yours = ADDRESS;
    let seconds = |seconds: u32| seconds.to_be_bytes().to_vec();
    reply.options.extend([
        (code::SERVER, ROUTER.octets().to_vec()),
        (code::SUBNET_MASK, vec![255, 255, 255, 0]),
        (code::LEASE_TIME, seconds(30)),
        (code::RENEWAL_TIME, seconds(1)),
        (code::REBINDING_TIME, seconds(3)),
    ]);
    reply
}

fn has_address(lab: &Lab) -> bool {
    lab.machine
        .route()
        .addresses()
        .unwrap()
        .iter()
        .any(|address| address.ip == ADDRESS)
}

#[test]
fn privileged_the_server_is_asked_from_the_leased_address() {
    let Some(mut lab) = Lab::new() else { return };
    let seen = serve(&lab, true);
    lab.start_daemon();
    eventually("two renewals", 15, || {
        let seen = seen.lock().unwrap();
        (seen.iter().filter(|(_, from)| *from == ADDRESS).count() >= 2).then_some(())
    });
    let seen = seen.lock().unwrap().clone();
    let after = seen.iter().skip_while(|(_, from)| *from != ADDRESS);
    assert!(after.clone().all(|(kind, _)| *kind == Kind::Request), "{seen:?}");
    assert!(has_address(&lab));
}

#[test]
fn privileged_a_silent_server_is_followed_by_any_and_by_the_end() {
    let Some(mut lab) = Lab::new() else { return };
    let seen = serve(&lab, false);
    lab.start_daemon();
    eventually("the address", 10, || has_address(&lab).then_some(()));
    eventually("renewal and rebinding", 15, || {
        let seen = seen.lock().unwrap();
        (seen.iter().filter(|(_, from)| *from == ADDRESS).count() >= 2).then_some(())
    });
    assert!(has_address(&lab), "the lease still holds");
    eventually("the end of the lease", 40, || (!has_address(&lab)).then_some(()));
    eventually("a new discovery", 5, || {
        std::thread::sleep(Duration::from_millis(50));
        (seen.lock().unwrap().last()?.0 == Kind::Discover).then_some(())
    });
    eventually("the status says so", 5, || {
        lab.status()["links"][0]["lease"].is_null().then_some(())
    });
}
