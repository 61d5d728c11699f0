//! Values inside DHCP options (RFC 2132, 3397, 3442). Pure; a malformed value is None or left out.

use crate::names;
use std::net::Ipv4Addr;

/// A route of option 121.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClasslessRoute {
    /// Network.
    pub destination: Ipv4Addr,
    /// Bits of the network.
    pub prefix: u8,
    /// Router; None when the network is on the link.
    pub gateway: Option<Ipv4Addr>,
}

/// One address.
pub fn parse_address(value: &[u8]) -> Option<Ipv4Addr> {
    value.first_chunk::<4>().copied().map(Ipv4Addr::from)
}

/// A list of addresses; those that cannot be a host's are left out.
pub fn parse_addresses(value: &[u8]) -> Vec<Ipv4Addr> {
    value
        .as_chunks::<4>()
        .0
        .iter()
        .copied()
        .map(Ipv4Addr::from)
        .filter(|ip| is_host(*ip))
        .collect()
}

/// True for an address a host can have.
pub fn is_host(ip: Ipv4Addr) -> bool {
    !(ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() || ip.is_loopback())
}

/// A number of four bytes.
pub fn parse_u32(value: &[u8]) -> Option<u32> {
    value.first_chunk().copied().map(u32::from_be_bytes)
}

/// A number of two bytes.
pub fn parse_u16(value: &[u8]) -> Option<u16> {
    value.first_chunk().copied().map(u16::from_be_bytes)
}

/// A netmask as a number of bits; None when it has holes.
pub fn parse_mask(value: &[u8]) -> Option<u8> {
    let bits = parse_address(value)?.to_bits();
    let prefix = bits.leading_ones();
    (prefix == bits.count_ones())
        .then(|| u8::try_from(prefix).ok())
        .flatten()
}

/// A host or domain name in text, with the zero byte some servers append.
pub fn parse_name(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    names::normalise(text.trim_end_matches('\0'))
}

/// A search list: names in DNS form, compressed within the option.
pub fn parse_search(value: &[u8]) -> Vec<String> {
    names::parse_wire_list(value)
}

/// Classless routes; stops at one that is cut short or has an impossible prefix.
pub fn parse_routes(mut value: &[u8]) -> Vec<ClasslessRoute> {
    let mut routes = Vec::new();
    while let Some((route, rest)) = next_route(value) {
        routes.push(route);
        value = rest;
    }
    routes
}

fn next_route(value: &[u8]) -> Option<(ClasslessRoute, &[u8])> {
    let (prefix, rest) = value.split_first()?;
    if *prefix > 32 {
        return None;
    }
    let (significant, rest) = rest.split_at_checked(usize::from(*prefix).div_ceil(8))?;
    let (gateway, rest) = rest.split_at_checked(4)?;
    let mut destination = [0; 4];
    for (byte, value) in destination.iter_mut().zip(significant) {
        *byte = *value;
    }
    let mask = u32::MAX.checked_shl(32 - u32::from(*prefix)).unwrap_or(0);
    let destination = Ipv4Addr::from_bits(u32::from_be_bytes(destination) & mask);
    let gateway = parse_address(gateway)?;
    let gateway = (!gateway.is_unspecified()).then_some(gateway);
    Some((
        ClasslessRoute {
            destination,
            prefix: *prefix,
            gateway,
        },
        rest,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        let table = [
            ([255, 255, 255, 0], Some(24)),
            ([255, 255, 255, 255], Some(32)),
            ([0, 0, 0, 0], Some(0)),
            ([255, 0, 255, 0], None),
        ];
        for (mask, expected) in table {
            assert_eq!(parse_mask(&mask), expected, "{mask:?}");
        }
        assert_eq!(parse_mask(&[255]), None);
    }

    #[test]
    fn classless_routes() {
        // The examples of RFC 3442 with a router each, and a route on the link.
        let bytes = [
            0, 10, 0, 0, 1, 8, 10, 10, 0, 0, 1, 24, 10, 0, 5, 10, 0, 0, 1, 12, 172, 31, 0, 0, 0, 0,
        ];
        let routes: Vec<_> = parse_routes(&bytes)
            .into_iter()
            .map(|r| format!("{}/{} {:?}", r.destination, r.prefix, r.gateway))
            .collect();
        assert_eq!(
            routes,
            [
                "0.0.0.0/0 Some(10.0.0.1)",
                "10.0.0.0/8 Some(10.0.0.1)",
                "10.0.5.0/24 Some(10.0.0.1)",
                "172.16.0.0/12 None"
            ]
        );
        assert_eq!(parse_routes(&bytes[..7]).len(), 1);
        assert!(parse_routes(&[33, 1, 2, 3, 4, 5, 1, 1, 1, 1]).is_empty());
    }

    #[test]
    fn address_lists_leave_out_what_is_no_host() {
        let bytes = [10, 0, 0, 3, 0, 0, 0, 0, 255, 255, 255, 255, 1, 1, 1, 1, 9];
        assert_eq!(
            parse_addresses(&bytes),
            [Ipv4Addr::new(10, 0, 0, 3), Ipv4Addr::new(1, 1, 1, 1)]
        );
    }

    #[test]
    fn names_end_where_the_text_ends() {
        assert_eq!(parse_name(b"example.org\0").as_deref(), Some("example.org"));
        assert_eq!(parse_name(b"a b"), None);
        assert_eq!(parse_name(b""), None);
    }
}
