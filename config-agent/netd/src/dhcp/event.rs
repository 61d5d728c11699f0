//! What happens to a DHCP client and what it decides: the words of [`super::client`]. Pure.

use super::lease::Lease;
use super::packet::Packet;
use std::net::Ipv4Addr;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Hardware address; the client id is made of it, so that reservations by hardware address work.
    pub mac: [u8; 6],
    /// Name to tell the server.
    pub hostname: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// The link can carry packets. `previous`: the address it has from another life of this program.
    Carrier {
        /// Address to ask for again.
        previous: Option<Ipv4Addr>,
    },
    /// It cannot any more.
    NoCarrier,
    /// A packet came in.
    Packet(&'a Packet),
    /// [`super::client::Client::deadline`] has come.
    Deadline,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a packet.
    Send(Packet, Destination),
    /// The lease is new or renewed: set the link up by it.
    Configure(Lease),
    /// The address may not be used any more.
    Deconfigure(Reason),
}

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To everyone on the link, without an address of our own.
    Link,
    /// From our address to everyone on the link.
    Everyone(Ipv4Addr),
    /// From our address to the server.
    Server {
        /// Our address.
        from: Ipv4Addr,
        /// The server's.
        to: Ipv4Addr,
    },
}

/// Why a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The server took it back.
    Refused,
    /// Nobody renewed it in time.
    Expired,
}
