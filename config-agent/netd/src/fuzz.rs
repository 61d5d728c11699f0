//! Plain functions over bytes for the fuzzer: errors are fine, panics are bugs.

use crate::dhcp::frame;
use crate::dhcp::lease::Lease;
use crate::dhcp::packet::Packet;
use crate::network::router::parse_option;
use crate::resolver::answer;
use crate::resolver::frame as records;
use crate::resolver::records::Records;
use crate::time::packet;
use hickory_proto::op::Message;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Reads `data` as a datagram from a link and as a DHCP packet, and what it grants as a lease.
pub fn fuzz_dhcp_packet(data: &[u8]) {
    for payload in [Some(data), frame::decode(data)].into_iter().flatten() {
        if let Ok(packet) = Packet::parse(payload) {
            let _ = Lease::from_packet(&packet);
            let _ = Packet::parse(&packet.encode());
        }
    }
}

/// Takes `data` as a query from a client, and answers it.
pub fn fuzz_dns_query(data: &[u8]) {
    let Ok(message) = Message::from_vec(data) else { return };
    let Some(Ok(query)) = answer::check(&message) else {
        return;
    };
    let records = Records::default();
    let view = records.host_view(Ipv4Addr::LOCALHOST.into());
    if let answer::Decision::Forward(key) = answer::decide(&message, query, Some(&view)) {
        let _ = answer::upstream_query(&key, 1, true);
        let _ = answer::judge(data, &key, message.metadata.id, true);
    }
}

/// Reads `data` as an option of a router advertisement.
pub fn fuzz_router_option(data: &[u8]) {
    let _ = parse_option(data);
}

/// Reads `data` as frames of the record socket, and applies a request.
pub fn fuzz_resolver_frame(data: &[u8]) {
    let _ = records::parse_hello(data);
    if let Ok(request) = records::parse_request(data) {
        let mut state = Records::default();
        let id = state.open(None);
        let _ = state.apply(id, request.body);
    }
}

/// Judges `data` as the answer of a time server.
pub fn fuzz_ntp_answer(data: &[u8]) {
    let cookie = data
        .get(24..)
        .and_then(<[u8]>::first_chunk)
        .copied()
        .map_or(0, u64::from_be_bytes);
    let now = Duration::from_secs(1_790_000_000);
    let _ = packet::judge(data, cookie, now, now);
}
