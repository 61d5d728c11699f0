//! Neighbours: which hardware address answers for which IP address on a link.

use crate::addr::{family, octets, parse_ip};
use crate::link::Mac;
use crate::message::{Message, flags};
use crate::wire;
use crate::{Error, RouteSocket};
use std::net::IpAddr;

const NEWNEIGH: u16 = 28;
const DELNEIGH: u16 = 29;
const GETNEIGH: u16 = 30;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const STATE_PERMANENT: u16 = 0x80;

/// An entry of the neighbour table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// Index of the link.
    pub link: u32,
    /// Its IP address.
    pub ip: IpAddr,
    /// Its hardware address; None while unknown.
    pub mac: Option<Mac>,
    /// It never expires.
    pub permanent: bool,
}

impl RouteSocket {
    /// All neighbours known.
    ///
    /// # Errors
    /// As [`crate::socket::Socket::query`].
    pub fn neighbours(&mut self) -> Result<Vec<Neighbour>, Error> {
        let message = Message::new(GETNEIGH, flags::DUMP, "list neighbours", &[0; 12]);
        self.query(&message, |kind, body| {
            (kind == NEWNEIGH).then(|| parse_neighbour(body)).flatten()
        })
    }

    /// Pins a neighbour.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn pin_neighbour(&mut self, link: u32, ip: IpAddr, mac: Mac) -> Result<(), Error> {
        let what = format!("pin neighbour {ip}");
        let flags = flags::CREATE | flags::REPLACE;
        let mut message = Message::new(NEWNEIGH, flags, what, &ndmsg(link, ip, STATE_PERMANENT));
        message.body.attr(NDA_DST, &octets(ip)).attr(NDA_LLADDR, &mac.0);
        self.run(&message)
    }

    /// Forgets a neighbour.
    ///
    /// # Errors
    /// [`Error::Refused`], with [`Error::is_absent`] when it is not known.
    pub fn delete_neighbour(&mut self, link: u32, ip: IpAddr) -> Result<(), Error> {
        let what = format!("forget neighbour {ip}");
        let mut message = Message::new(DELNEIGH, 0, what, &ndmsg(link, ip, 0));
        message.body.attr(NDA_DST, &octets(ip));
        self.run(&message)
    }
}

/// `struct ndmsg`.
fn ndmsg(link: u32, ip: IpAddr, state: u16) -> [u8; 12] {
    let mut header = [0; 12];
    header[0] = family(ip);
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    header[8..10].copy_from_slice(&state.to_ne_bytes());
    header
}

/// Reads a neighbour from a message's body; None if it is cut short or has no IP address.
pub fn parse_neighbour(body: &[u8]) -> Option<Neighbour> {
    let link = u32::from_ne_bytes(*body.get(4..)?.first_chunk()?);
    let state = u16::from_ne_bytes(*body.get(8..)?.first_chunk()?);
    let attributes = wire::attributes(body.get(12..)?);
    let ip = parse_ip(attributes.clone().find(NDA_DST)?.value)?;
    let mac = attributes
        .find(NDA_LLADDR)
        .and_then(|attr| attr.value.try_into().ok())
        .map(Mac);
    Some(Neighbour {
        link,
        ip,
        mac,
        permanent: state & STATE_PERMANENT != 0,
    })
}
