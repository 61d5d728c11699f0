//! Routes.

use crate::addr::{family, octets, parse_ip};
use crate::message::{Message, flags};
use crate::wire;
use crate::{Error, RouteSocket};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const NEWROUTE: u16 = 24;
pub(crate) const DELROUTE: u16 = 25;
const GETROUTE: u16 = 26;

/// Attribute types of routes (RTA_*).
mod rta {
    pub const DST: u16 = 1;
    pub const OIF: u16 = 4;
    pub const GATEWAY: u16 = 5;
    pub const PRIORITY: u16 = 6;
    pub const PREFSRC: u16 = 7;
    pub const TABLE: u16 = 15;
}

/// The table used when no rule says otherwise.
pub const TABLE_MAIN: u32 = 254;
/// Who made a route (RTPROT_*).
pub mod protocol {
    /// The kernel itself.
    pub const KERNEL: u8 = 2;
    /// The administrator, and this crate unless told otherwise.
    pub const STATIC: u8 = 4;
    /// A router advertisement.
    pub const RA: u8 = 9;
    /// A DHCP client.
    pub const DHCP: u8 = 16;
}
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const TYPE_UNICAST: u8 = 1;
const FLAG_ONLINK: u32 = 4;

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Network; the unspecified address with prefix 0 is the default route.
    pub destination: IpAddr,
    /// Bits of the network.
    pub prefix: u8,
    /// Router to send through; None: the network is on the link.
    pub gateway: Option<IpAddr>,
    /// Index of the link.
    pub link: Option<u32>,
    /// Source address for new connections.
    pub source: Option<IpAddr>,
    /// Lower wins. None: the kernel's default (0 for IPv4, 1024 for IPv6).
    pub metric: Option<u32>,
    /// Routing table.
    pub table: u32,
    /// Who made it.
    pub protocol: u8,
    /// The gateway is on the link although no network of the link contains it.
    pub onlink: bool,
}

impl Route {
    /// A route to a network, in the main table.
    pub fn to(destination: impl Into<IpAddr>, prefix: u8) -> Self {
        Self {
            destination: destination.into(),
            prefix,
            gateway: None,
            link: None,
            source: None,
            metric: None,
            table: TABLE_MAIN,
            protocol: protocol::STATIC,
            onlink: false,
        }
    }

    /// The default route of the gateway's family.
    pub fn default_via(gateway: IpAddr) -> Self {
        let any: IpAddr = match gateway {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Self {
            gateway: Some(gateway),
            ..Self::to(any, 0)
        }
    }

    /// The same route through this link.
    #[must_use]
    pub fn on(mut self, link: u32) -> Self {
        self.link = Some(link);
        self
    }

    /// True for a route to everywhere.
    pub fn is_default(&self) -> bool {
        self.prefix == 0
    }
}

impl RouteSocket {
    /// All unicast routes of all tables.
    ///
    /// # Errors
    /// As [`crate::socket::Socket::query`].
    pub fn routes(&mut self) -> Result<Vec<Route>, Error> {
        let message = Message::new(GETROUTE, flags::DUMP, "list routes", &[0; 12]);
        self.query(&message, |kind, body| {
            (kind == NEWROUTE).then(|| parse_route(body)).flatten()
        })
    }

    /// Adds a route, or replaces the one with the same destination, table and metric.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn add_route(&mut self, route: &Route) -> Result<(), Error> {
        self.run(&add_message(route))
    }

    /// Removes a route.
    ///
    /// # Errors
    /// [`Error::Refused`], with [`Error::is_absent`] when it is not there.
    pub fn delete_route(&mut self, route: &Route) -> Result<(), Error> {
        self.run(&message(DELROUTE, 0, "remove", route))
    }
}

/// The message that adds a route, for [`RouteSocket::run_all`].
pub fn add_message(route: &Route) -> Message {
    message(NEWROUTE, flags::CREATE | flags::REPLACE, "add", route)
}

fn message(kind: u16, flags: u16, verb: &str, route: &Route) -> Message {
    let what = format!("{verb} route {}/{}", route.destination, route.prefix);
    let mut message = Message::new(kind, flags, what, &rtmsg(route));
    let body = &mut message.body;
    if !route.is_default() {
        body.attr(rta::DST, &octets(route.destination));
    }
    if let Some(gateway) = route.gateway {
        body.attr(rta::GATEWAY, &octets(gateway));
    }
    if let Some(link) = route.link {
        body.u32(rta::OIF, link);
    }
    if let Some(source) = route.source {
        body.attr(rta::PREFSRC, &octets(source));
    }
    if let Some(metric) = route.metric {
        body.u32(rta::PRIORITY, metric);
    }
    body.u32(rta::TABLE, route.table);
    message
}

/// `struct rtmsg`.
fn rtmsg(route: &Route) -> [u8; 12] {
    let table = u8::try_from(route.table).unwrap_or(0);
    let scope = match (route.gateway, route.destination) {
        (None, IpAddr::V4(_)) => SCOPE_LINK,
        _ => SCOPE_UNIVERSE,
    };
    let family = family(route.destination);
    let mut header = [
        family,
        route.prefix,
        0,
        0,
        table,
        route.protocol,
        scope,
        TYPE_UNICAST,
        0,
        0,
        0,
        0,
    ];
    let flags = if route.onlink { FLAG_ONLINK } else { 0 };
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header
}

/// Reads a unicast route from a message's body; None for any other or one cut short.
pub fn parse_route(body: &[u8]) -> Option<Route> {
    let header: &[u8; 12] = body.first_chunk()?;
    let [family, prefix, _, _, table, protocol, _, kind, ..] = *header;
    if kind != TYPE_UNICAST {
        return None;
    }
    let any: IpAddr = match family {
        crate::addr::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        crate::addr::AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let mut route = Route {
        table: table.into(),
        protocol,
        ..Route::to(any, prefix)
    };
    route.onlink = u32::from_ne_bytes(*body.get(8..)?.first_chunk()?) & FLAG_ONLINK != 0;
    for attr in wire::attributes(body.get(12..)?) {
        match attr.kind {
            rta::DST => route.destination = parse_ip(attr.value)?,
            rta::GATEWAY => route.gateway = parse_ip(attr.value),
            rta::OIF => route.link = attr.as_u32(),
            rta::PREFSRC => route.source = parse_ip(attr.value),
            rta::PRIORITY => route.metric = attr.as_u32(),
            rta::TABLE => route.table = attr.as_u32()?,
            _ => {}
        }
    }
    Some(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_is_read() {
        let gateway = Ipv4Addr::new(10, 0, 2, 2).into();
        let mut table = vec![
            Route::default_via(gateway).on(2),
            Route::to(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0), 64).on(3),
        ];
        table[0].metric = Some(100);
        table[0].onlink = true;
        table[1].table = 1000;
        for route in table {
            assert_eq!(parse_route(add_message(&route).body.bytes()), Some(route));
        }
    }
}
