//! Plain functions over bytes for the fuzzer: errors are fine, panics are bugs.

use crate::events::parse_events;
use crate::message::replies;
use crate::neigh::parse_neighbour;
use crate::wire::attributes;

/// Reads `data` as a datagram from the kernel, as any object, and as attributes.
pub fn fuzz_netlink_message(data: &[u8]) {
    let _ = replies(data).count();
    let _ = parse_events(data);
    let _ = parse_neighbour(data);
    for attr in attributes(data) {
        let _ = (attr.as_u8(), attr.as_u16(), attr.as_u32(), attr.as_text());
        let _ = attr.nested().count();
    }
}
