//! IPv4 and UDP headers around a DHCP packet, for the time before the link has an address. Pure.

use std::net::Ipv4Addr;

/// Port of DHCP servers.
pub const SERVER_PORT: u16 = 67;
/// Port of DHCP clients.
pub const CLIENT_PORT: u16 = 68;
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const UDP: u8 = 17;
const TIME_TO_LIVE: u8 = 64;
/// Any fragment offset, or more fragments to come.
const FRAGMENT: u16 = 0x3fff;

/// A datagram from 0.0.0.0:68 to 255.255.255.255:67.
pub fn encode(payload: &[u8]) -> Vec<u8> {
    let (from, to) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
    let udp_length = u16::try_from(UDP_HEADER + payload.len()).unwrap_or(u16::MAX);
    let total = u16::try_from(IP_HEADER + UDP_HEADER + payload.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![0x45, 0xc0];
    bytes.extend_from_slice(&total.to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 0x40, 0, TIME_TO_LIVE, UDP, 0, 0]);
    bytes.extend_from_slice(&from.octets());
    bytes.extend_from_slice(&to.octets());
    let sum = checksum(&bytes, 0);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    let udp = bytes.len();
    for field in [CLIENT_PORT, SERVER_PORT, udp_length, 0] {
        bytes.extend_from_slice(&field.to_be_bytes());
    }
    bytes.extend_from_slice(payload);
    let sum = match checksum(&bytes[udp..], pseudo_header(from, to, udp_length)) {
        0 => u16::MAX,
        sum => sum,
    };
    bytes[udp + 6..udp + 8].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// The payload of a datagram to port 68; None for anything else.
///
/// The IP header's checksum is checked; UDP's is not, because between virtual machines of one host it
/// is often never filled in, and the transaction number guards the content.
pub fn decode(bytes: &[u8]) -> Option<&[u8]> {
    let first = *bytes.first()?;
    let header_length = usize::from(first & 0x0f) * 4;
    let header = bytes.get(..header_length)?;
    let total = usize::from(be16(bytes, 2)?);
    let whole = first >> 4 == 4
        && header_length >= IP_HEADER
        && *bytes.get(9)? == UDP
        && be16(bytes, 6)? & FRAGMENT == 0
        && checksum(header, 0) == 0;
    if !whole {
        return None;
    }
    let udp = bytes.get(header_length..total)?;
    let length = usize::from(be16(udp, 4)?);
    if be16(udp, 0)? != SERVER_PORT || be16(udp, 2)? != CLIENT_PORT {
        return None;
    }
    udp.get(UDP_HEADER..length)
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

fn pseudo_header(from: Ipv4Addr, to: Ipv4Addr, length: u16) -> u32 {
    let words = |ip: Ipv4Addr| (ip.to_bits() >> 16) + (ip.to_bits() & 0xffff);
    words(from) + words(to) + u32::from(UDP) + u32::from(length)
}

/// The internet checksum (RFC 1071) of `bytes`, on top of `start`.
fn checksum(bytes: &[u8], start: u32) -> u16 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut sum = u64::from(start);
    sum += pairs
        .iter()
        .map(|pair| u64::from(u16::from_be_bytes(*pair)))
        .sum::<u64>();
    sum += rest.first().map_or(0, |last| u64::from(*last) << 8);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same datagram as a server sends it.
    fn from_server(payload: &[u8]) -> Vec<u8> {
        let mut bytes = encode(payload);
        bytes.swap(20, 22);
        bytes.swap(21, 23);
        bytes
    }

    #[test]
    fn checksum_of_the_rfc() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0), !0xddf2);
    }

    #[test]
    fn only_whole_datagrams_for_the_client() {
        let good = from_server(b"hello");
        assert_eq!(decode(&good), Some(&b"hello"[..]));
        let mut padded = good.clone();
        padded.extend_from_slice(&[0; 18]);
        assert_eq!(decode(&padded), Some(&b"hello"[..]), "ethernet padding");
        assert_eq!(decode(&encode(b"hello")), None, "to the server");
        let mut broken = good.clone();
        broken[8] += 1;
        assert_eq!(decode(&broken), None, "header checksum");
        for length in 0..good.len() {
            assert_eq!(decode(&good[..length]), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn the_sum_over_a_datagram_with_its_checksum_is_zero(payload in prop::collection::vec(any::<u8>(), 0..400)) {
            let bytes = encode(&payload);
            let length = u16::try_from(8 + payload.len()).unwrap();
            let start = pseudo_header(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, length);
            prop_assert_eq!(checksum(&bytes[20..], start), 0);
            prop_assert_eq!(checksum(&bytes[..20], 0), 0);
            let from_server = from_server(&payload);
            prop_assert_eq!(decode(&from_server), Some(&payload[..]));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes);
        }
    }
}
