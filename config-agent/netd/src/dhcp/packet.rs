//! The DHCP packet: fixed part and options (RFC 2131 section 2, RFC 3396 for long options). Pure.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Length of the fixed part, magic number included.
const FIXED: usize = 240;
/// Some servers drop packets shorter than BOOTP's.
const SHORTEST: usize = 300;
const MAGIC: [u8; 4] = [99, 130, 83, 99];
const ETHERNET: u8 = 1;
const MAC_LENGTH: u8 = 6;
const BROADCAST: u16 = 0x8000;
const PAD: u8 = 0;
const OVERLOAD: u8 = 52;
const END: u8 = 255;
/// Where the server's name and the boot file's name stand; options may overflow into them.
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;

/// Option codes we send or read.
pub mod code {
    #![allow(missing_docs, reason = "the names of RFC 2132, 3397, 3442")]
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const DNS: u8 = 6;
    pub const HOSTNAME: u8 = 12;
    pub const DOMAIN: u8 = 15;
    pub const MTU: u8 = 26;
    pub const NTP: u8 = 42;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const PARAMETERS: u8 = 55;
    pub const MESSAGE: u8 = 56;
    pub const MAX_SIZE: u8 = 57;
    pub const RENEWAL_TIME: u8 = 58;
    pub const REBINDING_TIME: u8 = 59;
    pub const CLIENT_ID: u8 = 61;
    pub const SEARCH: u8 = 119;
    pub const CLASSLESS_ROUTES: u8 = 121;
}

/// Kinds of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Client looks for servers.
    Discover = 1,
    /// Server offers an address.
    Offer = 2,
    /// Client wants an address.
    Request = 3,
    /// Client found the address in use.
    Decline = 4,
    /// Server grants it.
    Ack = 5,
    /// Server refuses it.
    Nak = 6,
    /// Client gives it back.
    Release = 7,
}

impl Kind {
    /// The kind with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Discover,
            2 => Self::Offer,
            3 => Self::Request,
            4 => Self::Decline,
            5 => Self::Ack,
            6 => Self::Nak,
            7 => Self::Release,
            _ => return None,
        })
    }
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// The client.
    Request = 1,
    /// The server.
    Reply = 2,
}

/// Why bytes are no DHCP packet of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Cut short.
    #[error("shorter than a DHCP packet")]
    Short,
    /// Neither request nor reply, or no DHCP magic number.
    #[error("not a DHCP packet")]
    Foreign,
    /// For another kind of link.
    #[error("not for an ethernet link")]
    Link,
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Who speaks.
    pub direction: Direction,
    /// Transaction number, chosen by the client.
    pub transaction: u32,
    /// Seconds since the client began.
    pub seconds: u16,
    /// The client cannot receive unicast yet.
    pub broadcast: bool,
    /// The client's address, while it has one.
    pub client: Ipv4Addr,
    /// The address offered or granted.
    pub yours: Ipv4Addr,
    /// The client's hardware address.
    pub mac: [u8; 6],
    /// Options by code; the values of a code that came several times are joined.
    pub options: BTreeMap<u8, Vec<u8>>,
}

impl Packet {
    /// A client's packet without options but its kind.
    pub fn request(kind: Kind, transaction: u32, mac: [u8; 6]) -> Self {
        Self {
            direction: Direction::Request,
            transaction,
            seconds: 0,
            broadcast: false,
            client: Ipv4Addr::UNSPECIFIED,
            yours: Ipv4Addr::UNSPECIFIED,
            mac,
            options: BTreeMap::from([(code::MESSAGE_TYPE, vec![kind as u8])]),
        }
    }

    /// The kind of message; None for BOOTP and for kinds we do not know.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_number(*self.options.get(&code::MESSAGE_TYPE)?.first()?)
    }

    /// Reads a packet (the payload of a UDP datagram).
    ///
    /// # Errors
    /// [`PacketError`]. Options that do not fit are left out instead.
    pub fn parse(bytes: &[u8]) -> Result<Self, PacketError> {
        let fixed: &[u8; FIXED] = bytes.first_chunk().ok_or(PacketError::Short)?;
        if fixed[236..] != MAGIC {
            return Err(PacketError::Foreign);
        }
        let direction = match fixed[0] {
            1 => Direction::Request,
            2 => Direction::Reply,
            _ => return Err(PacketError::Foreign),
        };
        if fixed[1] != ETHERNET || fixed[2] != MAC_LENGTH {
            return Err(PacketError::Link);
        }
        let address = |at: usize| Ipv4Addr::new(fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]);
        let mut mac = [0; 6];
        mac.copy_from_slice(&fixed[28..34]);
        Ok(Self {
            direction,
            transaction: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            seconds: u16::from_be_bytes([fixed[8], fixed[9]]),
            broadcast: u16::from_be_bytes([fixed[10], fixed[11]]) & BROADCAST != 0,
            client: address(12),
            yours: address(16),
            mac,
            options: parse_options(fixed, bytes.get(FIXED..).unwrap_or_default()),
        })
    }

    /// Writes the packet.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; FIXED];
        bytes[0] = self.direction as u8;
        bytes[1] = ETHERNET;
        bytes[2] = MAC_LENGTH;
        bytes[4..8].copy_from_slice(&self.transaction.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.seconds.to_be_bytes());
        let flags = if self.broadcast { BROADCAST } else { 0 };
        bytes[10..12].copy_from_slice(&flags.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.client.octets());
        bytes[16..20].copy_from_slice(&self.yours.octets());
        bytes[28..34].copy_from_slice(&self.mac);
        bytes[236..].copy_from_slice(&MAGIC);
        for (code, value) in &self.options {
            write_option(&mut bytes, *code, value);
        }
        bytes.push(END);
        bytes.resize(bytes.len().max(SHORTEST), PAD);
        bytes
    }
}

/// A value longer than 255 bytes is split; an empty one is kept.
fn write_option(bytes: &mut Vec<u8>, code: u8, value: &[u8]) {
    let parts = value.chunks(255);
    for part in if value.is_empty() { [].chunks(1) } else { parts } {
        bytes.push(code);
        bytes.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(part);
    }
    if value.is_empty() {
        bytes.extend_from_slice(&[code, 0]);
    }
}

/// The options of the options field and, when it says so, of the two name fields.
fn parse_options(fixed: &[u8; FIXED], field: &[u8]) -> BTreeMap<u8, Vec<u8>> {
    let mut options = BTreeMap::new();
    read_options(field, &mut options);
    let overload = options.remove(&OVERLOAD).and_then(|value| value.first().copied());
    let overload = overload.unwrap_or(0);
    if overload & 1 != 0 {
        read_options(&fixed[FILE], &mut options);
    }
    if overload & 2 != 0 {
        read_options(&fixed[SNAME], &mut options);
    }
    options
}

fn read_options(mut rest: &[u8], options: &mut BTreeMap<u8, Vec<u8>>) {
    while let Some((code, after)) = rest.split_first() {
        rest = match *code {
            PAD => after,
            END => return,
            code => {
                let Some((length, after)) = after.split_first() else {
                    return;
                };
                let Some((value, after)) = after.split_at_checked(usize::from(*length)) else {
                    return;
                };
                options.entry(code).or_default().extend_from_slice(value);
                after
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn options() -> impl Strategy<Value = BTreeMap<u8, Vec<u8>>> {
        prop::collection::btree_map(
            (1u8..255).prop_filter("overload is its own case", |code| *code != OVERLOAD),
            prop::collection::vec(any::<u8>(), 0..600),
            0..6,
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            transaction: u32, seconds: u16, broadcast: bool, client: u32, yours: u32, mac: [u8; 6], options in options()
        ) {
            let packet = Packet {
                direction: Direction::Reply,
                transaction,
                seconds,
                broadcast,
                client: client.into(),
                yours: yours.into(),
                mac,
                options,
            };
            prop_assert_eq!(Packet::parse(&packet.encode()), Ok(packet));
        }

        #[test]
        fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..600), proper: bool) {
            if proper && bytes.len() >= FIXED {
                bytes[..3].copy_from_slice(&[2, ETHERNET, MAC_LENGTH]);
                bytes[236..240].copy_from_slice(&MAGIC);
            }
            let _ = Packet::parse(&bytes);
        }
    }

    #[test]
    fn options_overflow_into_the_name_fields() {
        let mut bytes = Packet::request(Kind::Ack, 1, [0; 6]).encode();
        bytes.truncate(FIXED);
        bytes.extend_from_slice(&[OVERLOAD, 1, 3, END]);
        bytes[FILE.start..FILE.start + 7].copy_from_slice(&[code::ROUTER, 4, 10, 0, 0, 1, END]);
        bytes[SNAME.start..SNAME.start + 4].copy_from_slice(&[code::MTU, 2, 5, 220]);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.options[&code::ROUTER], [10, 0, 0, 1]);
        assert_eq!(packet.options[&code::MTU], [5, 220]);
    }

    #[test]
    fn a_cut_option_is_left_out() {
        let mut bytes = Packet::request(Kind::Ack, 1, [0; 6]).encode();
        bytes.truncate(FIXED);
        bytes.extend_from_slice(&[code::MTU, 2, 5, 220, code::DNS, 8, 1, 1]);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.options.keys().copied().collect::<Vec<_>>(), [code::MTU]);
    }
}
