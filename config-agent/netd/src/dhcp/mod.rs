//! DHCPv4 client (RFC 2131): codec, lease, state machine and the sockets it talks through.
//!
//! The codec is our own: it reads the dozen options we use, skips one that is malformed instead of
//! refusing the packet, and cannot overflow on a hostile length. [`client`] is pure; [`task`] gives
//! it a clock and a wire.

pub mod client;
pub mod event;
pub mod frame;
pub mod lease;
pub mod options;
pub mod packet;
mod socket;
pub mod task;
