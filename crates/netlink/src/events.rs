//! What the kernel reports by itself: links, addresses and routes that change, and options of router
//! advertisements it does not keep.

use crate::addr::{self, Address, parse_address};
use crate::link::{self, Link, parse_link};
use crate::message::{Content, replies};
use crate::route::{self, Route, parse_route};
use crate::socket::{Family, open_bound};
use crate::{Error, netns};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

const NEWNDUSEROPT: u16 = 68;
const RECEIVE_BUFFER: usize = 64 * 1024;

/// Bits of the multicast groups of rtnetlink.
mod group {
    pub const LINK: u32 = 0x1;
    pub const IPV4_ADDRESS: u32 = 0x10;
    pub const IPV4_ROUTE: u32 = 0x40;
    pub const IPV6_ADDRESS: u32 = 0x100;
    pub const IPV6_ROUTE: u32 = 0x400;
    pub const ND_USEROPT: u32 = 0x8_0000;
}

/// Something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A link is new or changed.
    Link(Link),
    /// A link is gone.
    LinkGone(Link),
    /// An address is new or changed.
    Address(Address),
    /// An address is gone.
    AddressGone(Address),
    /// A route is new or changed.
    Route(Route),
    /// A route is gone.
    RouteGone(Route),
    /// An option of a router advertisement that the kernel leaves to us: name servers (25) or
    /// search domains (31).
    RouterOption {
        /// Index of the link it came in on.
        link: u32,
        /// The option with its type and length bytes.
        option: Vec<u8>,
    },
    /// Events were lost: look at everything again.
    Lost,
}

/// Hears events of one network namespace. Reading does not block.
#[derive(Debug)]
pub struct EventSocket {
    fd: OwnedFd,
}

impl EventSocket {
    /// Opens a socket for the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn open() -> Result<Self, Error> {
        let groups = group::LINK
            | group::IPV4_ADDRESS
            | group::IPV4_ROUTE
            | group::IPV6_ADDRESS
            | group::IPV6_ROUTE
            | group::ND_USEROPT;
        Ok(Self {
            fd: open_bound(Family::Route, groups)?,
        })
    }

    /// Opens a socket for the network namespace `namespace` refers to.
    ///
    /// # Errors
    /// [`Error::Namespace`], [`Error::Open`].
    pub fn open_in(namespace: BorrowedFd<'_>) -> Result<Self, Error> {
        netns::run_in(namespace, Self::open)?
    }

    /// The events waiting; empty when there are none.
    ///
    /// # Errors
    /// [`Error::Receive`]; a lost event is [`Event::Lost`], not an error.
    pub fn read(&self) -> Result<Vec<Event>, Error> {
        let mut buffer = vec![0; RECEIVE_BUFFER];
        let mut events = Vec::new();
        loop {
            match recv(&self.fd, buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((length, _)) => events.extend(parse_events(buffer.get(..length).unwrap_or(&[]))),
                Err(Errno::AGAIN) => return Ok(events),
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => events.push(Event::Lost),
                Err(source) => {
                    return Err(Error::Receive {
                        what: "listen for events".into(),
                        source,
                    });
                }
            }
        }
    }
}

impl AsFd for EventSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The events in a datagram. Pure; unknown messages are left out.
pub fn parse_events(datagram: &[u8]) -> Vec<Event> {
    replies(datagram)
        .filter_map(|reply| match reply.content {
            Content::Object { kind, body } => parse_event(kind, body),
            Content::Overrun => Some(Event::Lost),
            _ => None,
        })
        .collect()
}

fn parse_event(kind: u16, body: &[u8]) -> Option<Event> {
    match kind {
        link::NEWLINK => parse_link(body).map(Event::Link),
        link::DELLINK => parse_link(body).map(Event::LinkGone),
        addr::NEWADDR => parse_address(body).map(Event::Address),
        addr::DELADDR => parse_address(body).map(Event::AddressGone),
        route::NEWROUTE => parse_route(body).map(Event::Route),
        route::DELROUTE => parse_route(body).map(Event::RouteGone),
        NEWNDUSEROPT => parse_router_option(body),
        _ => None,
    }
}

/// `struct nduseroptmsg`: family, pad, length of the options, link, ICMP type and code, pads; then
/// the options.
fn parse_router_option(body: &[u8]) -> Option<Event> {
    let length = usize::from(u16::from_ne_bytes(*body.get(2..)?.first_chunk()?));
    let link = u32::from_ne_bytes(*body.get(4..)?.first_chunk()?);
    let option = body.get(16..16 + length)?.to_vec();
    Some(Event::RouterOption { link, option })
}
