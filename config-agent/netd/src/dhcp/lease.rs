//! A lease: what a server granted, checked and with defaults filled in. Pure.

use super::options::{self, ClasslessRoute};
use super::packet::{Packet, code};
use serde::Serialize;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Shortest lease we take at its word; a shorter one would mean traffic without end.
const SHORTEST: Duration = Duration::from_secs(30);
/// Lease times at and above this mean "for ever" (RFC 2131 section 3.3 has 0xffffffff).
const LONGEST: u32 = u32::MAX;
const SMALLEST_MTU: u16 = 576;

/// Why a packet grants nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The address is none a host can have.
    #[error("the address {0} cannot be used")]
    Address(Ipv4Addr),
    /// The netmask has holes.
    #[error("the netmask is malformed")]
    Mask,
    /// The server does not say who it is.
    #[error("the server does not give its address")]
    Server,
}

/// What a server granted or offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// Bits of its network.
    pub prefix: u8,
    /// The server, asked again when the lease is renewed.
    pub server: Ipv4Addr,
    /// How long the address may be used; None: for ever.
    pub duration: Option<Duration>,
    /// When to ask the server for more.
    pub renew: Duration,
    /// When to ask any server.
    pub rebind: Duration,
    /// Everything else.
    pub settings: Settings,
}

/// What comes with an address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Settings {
    /// Routes, the default route among them.
    #[serde(skip)]
    pub routes: Vec<ClasslessRoute>,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
    /// Domains to try for short names: option 15, then 119.
    pub search: Vec<String>,
    /// Time servers.
    pub ntp: Vec<Ipv4Addr>,
    /// Bytes per packet.
    pub mtu: Option<u16>,
    /// Name for this host.
    pub hostname: Option<String>,
}

impl Lease {
    /// Reads an OFFER or ACK.
    ///
    /// # Errors
    /// [`LeaseError`]. Options that are malformed count as absent.
    pub fn from_packet(packet: &Packet) -> Result<Self, LeaseError> {
        let address = packet.yours;
        if !options::is_host(address) {
            return Err(LeaseError::Address(address));
        }
        let option = |code| packet.options.get(&code).map(Vec::as_slice);
        let server = option(code::SERVER)
            .and_then(options::parse_address)
            .ok_or(LeaseError::Server)?;
        let prefix = match option(code::SUBNET_MASK) {
            Some(mask) => options::parse_mask(mask)
                .filter(|bits| *bits > 0)
                .ok_or(LeaseError::Mask)?,
            None => class_prefix(address),
        };
        let seconds = |code| option(code).and_then(options::parse_u32);
        let (duration, renew, rebind) = times(
            seconds(code::LEASE_TIME).unwrap_or(3600),
            seconds(code::RENEWAL_TIME),
            seconds(code::REBINDING_TIME),
        );
        let settings = Settings::from_packet(packet);
        Ok(Self {
            address,
            prefix,
            server,
            duration,
            renew,
            rebind,
            settings,
        })
    }
}

impl Settings {
    fn from_packet(packet: &Packet) -> Self {
        let option = |code| packet.options.get(&code).map(Vec::as_slice);
        let addresses = |code| option(code).map(options::parse_addresses).unwrap_or_default();
        let mut search: Vec<_> = option(code::DOMAIN).and_then(options::parse_name).into_iter().collect();
        for name in option(code::SEARCH).map(options::parse_search).unwrap_or_default() {
            if !search.contains(&name) {
                search.push(name);
            }
        }
        Self {
            routes: routes(option(code::CLASSLESS_ROUTES), &addresses(code::ROUTER)),
            dns: addresses(code::DNS),
            search,
            ntp: addresses(code::NTP),
            mtu: option(code::MTU)
                .and_then(options::parse_u16)
                .filter(|mtu| *mtu >= SMALLEST_MTU),
            hostname: option(code::HOSTNAME).and_then(options::parse_name),
        }
    }
}

/// Classless routes replace the router option altogether (RFC 3442).
fn routes(classless: Option<&[u8]>, routers: &[Ipv4Addr]) -> Vec<ClasslessRoute> {
    if let Some(value) = classless {
        return options::parse_routes(value);
    }
    let default = |gateway: &Ipv4Addr| ClasslessRoute {
        destination: Ipv4Addr::UNSPECIFIED,
        prefix: 0,
        gateway: Some(*gateway),
    };
    routers.first().map(default).into_iter().collect()
}

/// Duration, renewal and rebinding times; what is absent or contradicts itself gets RFC 2131's
/// defaults of one half and seven eighths.
fn times(lease: u32, renew: Option<u32>, rebind: Option<u32>) -> (Option<Duration>, Duration, Duration) {
    let secs = |seconds: u32| Duration::from_secs(seconds.into());
    let total = secs(lease).max(SHORTEST);
    let rebind = rebind.map(secs).filter(|time| *time < total).unwrap_or(total * 7 / 8);
    let renew = renew
        .map(secs)
        .filter(|time| *time < rebind)
        .unwrap_or(total / 2)
        .min(rebind);
    ((lease != LONGEST).then_some(total), renew, rebind)
}

/// The network an address had before netmasks, for servers that give none.
fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        192.. => 24,
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::{Direction, Kind};
    use super::*;

    fn ack(options: &[(u8, &[u8])]) -> Packet {
        let mut packet = Packet::request(Kind::Ack, 1, [2; 6]);
        packet.direction = Direction::Reply;
        packet.yours = Ipv4Addr::new(10, 0, 2, 15);
        packet.options.insert(code::SERVER, vec![10, 0, 2, 2]);
        for (code, value) in options {
            packet.options.insert(*code, value.to_vec());
        }
        packet
    }

    #[test]
    fn a_full_lease() {
        let lease = Lease::from_packet(&ack(&[
            (code::SUBNET_MASK, &[255, 255, 255, 0]),
            (code::ROUTER, &[10, 0, 2, 2]),
            (code::DNS, &[10, 0, 2, 3]),
            (code::LEASE_TIME, &86400u32.to_be_bytes()),
            (code::DOMAIN, b"example.org"),
            (code::SEARCH, b"\x07example\x03org\x00\x01b\xc0\x00"),
            (code::NTP, &[10, 0, 2, 4]),
            (code::MTU, &[5, 120]),
            (code::HOSTNAME, b"web-1"),
        ]))
        .unwrap();
        assert_eq!((lease.address, lease.prefix), (Ipv4Addr::new(10, 0, 2, 15), 24));
        assert_eq!(lease.duration, Some(Duration::from_secs(86400)));
        assert_eq!(
            (lease.renew, lease.rebind),
            (Duration::from_secs(43200), Duration::from_secs(75600))
        );
        let settings = lease.settings;
        assert_eq!(settings.routes[0].gateway, Some(Ipv4Addr::new(10, 0, 2, 2)));
        assert_eq!(settings.search, ["example.org", "b.example.org"]);
        assert_eq!(
            (settings.mtu, settings.hostname.as_deref()),
            (Some(1400), Some("web-1"))
        );
    }

    #[test]
    fn classless_routes_replace_the_router() {
        let routes: &[u8] = &[8, 10, 10, 0, 0, 1];
        let lease = Lease::from_packet(&ack(&[
            (code::ROUTER, &[10, 0, 2, 2]),
            (code::CLASSLESS_ROUTES, routes),
        ]));
        let routes = lease.unwrap().settings.routes;
        assert_eq!(routes.len(), 1);
        assert_eq!(routes[0].prefix, 8);
    }

    #[test]
    fn nonsense_is_refused_or_replaced() {
        let mut packet = ack(&[]);
        packet.yours = Ipv4Addr::UNSPECIFIED;
        assert_eq!(
            Lease::from_packet(&packet),
            Err(LeaseError::Address(Ipv4Addr::UNSPECIFIED))
        );
        let mut packet = ack(&[]);
        packet.options.remove(&code::SERVER);
        assert_eq!(Lease::from_packet(&packet), Err(LeaseError::Server));
        assert_eq!(
            Lease::from_packet(&ack(&[(code::SUBNET_MASK, &[255, 0, 255, 0])])),
            Err(LeaseError::Mask)
        );
        let lease = Lease::from_packet(&ack(&[(code::MTU, &[0, 68])])).unwrap();
        assert_eq!((lease.prefix, lease.settings.mtu), (8, None));
    }

    #[test]
    fn times_are_in_order() {
        let table = [
            (3600, None, None, Some(3600), 1800, 3150),
            (3600, Some(600), Some(900), Some(3600), 600, 900),
            (3600, Some(900), Some(600), Some(3600), 600, 600),
            (3600, Some(5000), Some(6000), Some(3600), 1800, 3150),
            (0, None, None, Some(30), 15, 26),
            (u32::MAX, None, None, None, 2_147_483_647, 3_758_096_383),
        ];
        for (lease, renew, rebind, total, expected_renew, expected_rebind) in table {
            let (duration, renew, rebind) = times(lease, renew, rebind);
            let seconds = (duration.map(|d| d.as_secs()), renew.as_secs(), rebind.as_secs());
            assert_eq!(seconds, (total, expected_renew, expected_rebind), "{lease}");
        }
    }
}
