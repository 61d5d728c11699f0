//! Addresses of links.

use crate::message::{Message, flags};
use crate::wire;
use crate::{Error, RouteSocket};
use std::net::{IpAddr, Ipv4Addr};

pub(crate) const NEWADDR: u16 = 20;
pub(crate) const DELADDR: u16 = 21;
const GETADDR: u16 = 22;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;
const FLAG_NODAD: u32 = 0x02;
const FLAG_TENTATIVE: u32 = 0x40;

/// Address families as rtnetlink numbers them.
pub(crate) const AF_INET: u8 = 2;
pub(crate) const AF_INET6: u8 = 10;
/// Lifetime that never ends.
pub const FOREVER: u32 = u32::MAX;

/// An address on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Index of the link.
    pub link: u32,
    /// The address.
    pub ip: IpAddr,
    /// Bits of the network.
    pub prefix: u8,
    /// Seconds until it may not be used any more; [`FOREVER`].
    pub valid: u32,
    /// Seconds until new connections should not use it; [`FOREVER`].
    pub preferred: u32,
    /// Scope as the kernel numbers it: 0 global, 253 link, 254 host.
    pub scope: u8,
    /// Duplicate detection has not ended yet.
    pub tentative: bool,
    /// Who gave it (IFAP_*, or a number of one's own); 0: nobody said.
    pub protocol: u8,
}

impl Address {
    /// A lasting address.
    pub fn new(link: u32, ip: impl Into<IpAddr>, prefix: u8) -> Self {
        let ip = ip.into();
        Self {
            link,
            ip,
            prefix,
            valid: FOREVER,
            preferred: FOREVER,
            scope: 0,
            tentative: false,
            protocol: 0,
        }
    }
}

impl RouteSocket {
    /// All addresses.
    ///
    /// # Errors
    /// As [`crate::socket::Socket::query`].
    pub fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        let message = Message::new(GETADDR, flags::DUMP, "list addresses", &[0; 8]);
        self.query(&message, |kind, body| {
            (kind == NEWADDR).then(|| parse_address(body)).flatten()
        })
    }

    /// Gives a link an address, or renews the lifetimes of one it has. IPv6 addresses are used at
    /// once, without duplicate detection.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn add_address(&mut self, address: &Address) -> Result<(), Error> {
        self.run(&add_message(address))
    }

    /// Takes an address away.
    ///
    /// # Errors
    /// [`Error::Refused`], with [`Error::is_absent`] when it is not there.
    pub fn delete_address(&mut self, address: &Address) -> Result<(), Error> {
        let what = format!("remove address {}/{}", address.ip, address.prefix);
        let mut message = Message::new(DELADDR, 0, what, &ifaddr(address));
        message.body.attr(IFA_LOCAL, &octets(address.ip));
        self.run(&message)
    }
}

/// The message that adds an address, for [`RouteSocket::run_all`].
pub fn add_message(address: &Address) -> Message {
    let what = format!("add address {}/{}", address.ip, address.prefix);
    let flags = flags::CREATE | flags::REPLACE;
    let mut message = Message::new(NEWADDR, flags, what, &ifaddr(address));
    let body = &mut message.body;
    body.attr(IFA_LOCAL, &octets(address.ip))
        .attr(IFA_ADDRESS, &octets(address.ip));
    match address.ip {
        IpAddr::V4(ip) if address.prefix < 31 => {
            body.attr(IFA_BROADCAST, &broadcast(ip, address.prefix).octets());
        }
        IpAddr::V4(_) => {}
        IpAddr::V6(_) => {
            body.u32(IFA_FLAGS, FLAG_NODAD);
        }
    }
    if address.protocol != 0 {
        body.u8(IFA_PROTO, address.protocol);
    }
    body.attr(IFA_CACHEINFO, &cache_info(address));
    message
}

/// The last address of a network.
pub fn broadcast(ip: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    let host_bits = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    Ipv4Addr::from_bits(ip.to_bits() | host_bits)
}

pub(crate) fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

pub(crate) fn family(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// The address in an attribute, whose length says which kind it is.
pub(crate) fn parse_ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(value) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(value).ok().map(IpAddr::from)
}

/// `struct ifaddrmsg`.
fn ifaddr(address: &Address) -> [u8; 8] {
    let mut header = [family(address.ip), address.prefix, 0, address.scope, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&address.link.to_ne_bytes());
    header
}

/// `struct ifa_cacheinfo`: preferred, valid, then two stamps the kernel fills.
fn cache_info(address: &Address) -> [u8; 16] {
    let mut info = [0; 16];
    info[0..4].copy_from_slice(&address.preferred.to_ne_bytes());
    info[4..8].copy_from_slice(&address.valid.to_ne_bytes());
    info
}

/// Reads an address from a message's body; None if it is cut short or has no address.
pub fn parse_address(body: &[u8]) -> Option<Address> {
    let prefix = *body.get(1)?;
    let mut bits = u32::from(*body.get(2)?);
    let scope = *body.get(3)?;
    let link = u32::from_ne_bytes(*body.get(4..)?.first_chunk()?);
    let (mut local, mut remote) = (None, None);
    let (mut preferred, mut valid) = (FOREVER, FOREVER);
    let mut protocol = 0;
    for attr in wire::attributes(body.get(8..)?) {
        match attr.kind {
            IFA_LOCAL => local = parse_ip(attr.value),
            IFA_ADDRESS => remote = parse_ip(attr.value),
            IFA_FLAGS => bits = attr.as_u32()?,
            IFA_PROTO => protocol = attr.as_u8()?,
            IFA_CACHEINFO => {
                preferred = attr.as_u32()?;
                valid = u32::from_ne_bytes(*attr.value.get(4..)?.first_chunk()?);
            }
            _ => {}
        }
    }
    let tentative = bits & FLAG_TENTATIVE != 0;
    Some(Address {
        link,
        ip: local.or(remote)?,
        prefix,
        valid,
        preferred,
        scope,
        tentative,
        protocol,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_is_the_last_address() {
        let table = [
            (24, "10.1.2.255"),
            (30, "10.1.2.7"),
            (0, "255.255.255.255"),
            (32, "10.1.2.5"),
        ];
        for (prefix, expected) in table {
            assert_eq!(broadcast(Ipv4Addr::new(10, 1, 2, 5), prefix).to_string(), expected);
        }
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        let mut address = Address::new(7, Ipv4Addr::new(10, 0, 2, 15), 24);
        address.valid = 3600;
        address.preferred = 1800;
        address.protocol = 75;
        assert_eq!(parse_address(add_message(&address).body.bytes()), Some(address));
    }
}
