//! Plain functions over bytes for the fuzzer: an error is fine, a panic is a bug.

use crate::frame::Decoder;
use crate::message::{Packet, Request};

/// Bytes a client might send.
pub fn fuzz_shim_request(data: &[u8]) {
    let mut decoder = Decoder::default();
    decoder.push(data);
    while let Ok(Some(_)) = decoder.next_message::<Request>() {}
}

/// Bytes a shim might send.
pub fn fuzz_shim_packet(data: &[u8]) {
    let mut decoder = Decoder::default();
    decoder.push(data);
    while let Ok(Some(_)) = decoder.next_message::<Packet>() {}
}
