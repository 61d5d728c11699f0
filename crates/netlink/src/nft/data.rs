//! Values: what a packet's fields are called, how they are encoded, what a rule may decide.

use super::uapi;
use crate::wire::{Buffer, align};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Length of an interface name in a register.
pub(super) const NAME_LENGTH: usize = 16;

/// Values of [`Field::CtState`], to be combined.
pub mod ct_state {
    /// No connection could be made out.
    pub const INVALID: u32 = 1;
    /// Part of a connection.
    pub const ESTABLISHED: u32 = 2;
    /// Belongs to a connection without being part of it.
    pub const RELATED: u32 = 4;
    /// First packet of a connection.
    pub const NEW: u32 = 8;
}

/// Values of [`Field::CtStatus`], to be combined.
pub mod ct_status {
    /// The source was translated.
    pub const SNAT: u32 = 0x10;
    /// The destination was translated.
    pub const DNAT: u32 = 0x20;
}

/// A kind of value, as sets declare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// IPv4 address.
    Ipv4,
    /// IPv6 address.
    Ipv6,
    /// Ethernet address.
    Mac,
    /// Transport protocol number.
    Protocol,
    /// Port.
    Port,
    /// Packet mark.
    Mark,
    /// Interface index.
    Index,
    /// Interface name.
    Name,
}

impl DataType {
    /// Number by which `nft` recognises the type when listing.
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Mac => 9,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Mark => 19,
            Self::Index => 20,
            Self::Name => 41,
        }
    }

    /// Bytes of a value.
    pub const fn length(self) -> usize {
        match self {
            Self::Ipv4 | Self::Mark | Self::Index => 4,
            Self::Ipv6 | Self::Name => 16,
            Self::Mac => 6,
            Self::Protocol => 1,
            Self::Port => 2,
        }
    }

    /// True when values are in the order of this machine, not of the network.
    pub(super) const fn is_host_order(self) -> bool {
        matches!(self, Self::Mark | Self::Index | Self::Name)
    }

    /// Number of the concatenation of `types`: six bits each.
    pub(super) fn concatenated(types: &[Self]) -> u32 {
        types.iter().fold(0, |number, kind| number << 6 | kind.number())
    }

    /// Bytes of the concatenation of `types`: each padded to four, unless it is alone.
    pub(super) fn total_length(types: &[Self]) -> usize {
        match types {
            [one] => one.length(),
            many => many.iter().map(|kind| align(kind.length())).sum(),
        }
    }
}

/// A value, encoded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Data(pub(super) Vec<u8>);

impl Data {
    /// Raw bytes, for fields without a type of their own here.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Names that start with `prefix`: compares only so many bytes.
    pub fn name_prefix(prefix: &str) -> Self {
        Self(prefix.as_bytes().to_vec())
    }

    /// A value of several fields, as maps with several key fields need it.
    pub fn concat(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(&part.0);
            bytes.resize(align(bytes.len()), 0);
        }
        Self(bytes)
    }
}

impl From<Ipv4Addr> for Data {
    fn from(ip: Ipv4Addr) -> Self {
        Self(ip.octets().to_vec())
    }
}

impl From<Ipv6Addr> for Data {
    fn from(ip: Ipv6Addr) -> Self {
        Self(ip.octets().to_vec())
    }
}

impl From<IpAddr> for Data {
    fn from(ip: IpAddr) -> Self {
        Self(crate::addr::octets(ip))
    }
}

/// A protocol number or another field of one byte.
impl From<u8> for Data {
    fn from(value: u8) -> Self {
        Self(vec![value])
    }
}

/// A port or another field of two bytes in network order.
impl From<u16> for Data {
    fn from(value: u16) -> Self {
        Self(value.to_be_bytes().to_vec())
    }
}

/// A mark, an index or connection bits: host order.
impl From<u32> for Data {
    fn from(value: u32) -> Self {
        Self(value.to_ne_bytes().to_vec())
    }
}

/// An interface name, whole.
impl From<&str> for Data {
    fn from(name: &str) -> Self {
        let mut bytes = name.as_bytes().to_vec();
        bytes.resize(NAME_LENGTH, 0);
        Self(bytes)
    }
}

/// Something a rule can look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// 2 for IPv4, 10 for IPv6; one byte.
    NetProtocol,
    /// Transport protocol (6 TCP, 17 UDP); one byte.
    Protocol,
    /// Ethernet type; two bytes.
    EtherType,
    /// Name of the link it came in on.
    InName,
    /// Name of the link it leaves by.
    OutName,
    /// Index of the link it came in on.
    InIndex,
    /// Index of the link it leaves by.
    OutIndex,
    /// Name of the bridge it came in on (bridge family).
    InBridge,
    /// Name of the bridge it leaves by (bridge family).
    OutBridge,
    /// Packet mark.
    Mark,
    /// Owner of the local socket.
    SocketUid,
    /// Ethernet source.
    MacSource,
    /// Ethernet destination.
    MacDestination,
    /// IPv4 source.
    Ipv4Source,
    /// IPv4 destination.
    Ipv4Destination,
    /// IPv6 source.
    Ipv6Source,
    /// IPv6 destination.
    Ipv6Destination,
    /// Source port of TCP, UDP or SCTP.
    PortSource,
    /// Destination port of TCP, UDP or SCTP.
    PortDestination,
    /// ICMP or ICMPv6 type; one byte.
    IcmpType,
    /// Kind of the source address by the routing table: see [`Field::ADDRESS_LOCAL`].
    FibSourceType,
    /// Kind of the destination address by the routing table.
    FibDestinationType,
    /// Bits of [`ct_state`].
    CtState,
    /// Bits of [`ct_status`].
    CtStatus,
    /// Mark of the connection.
    CtMark,
}

impl Field {
    /// Address type "one of this host's own".
    pub const ADDRESS_LOCAL: u32 = 2;

    /// Bytes it has in a register.
    pub(super) const fn length(self) -> usize {
        match self {
            Self::NetProtocol | Self::Protocol | Self::IcmpType => 1,
            Self::EtherType | Self::PortSource | Self::PortDestination => 2,
            Self::MacSource | Self::MacDestination => 6,
            Self::Ipv6Source
            | Self::Ipv6Destination
            | Self::InName
            | Self::OutName
            | Self::InBridge
            | Self::OutBridge => 16,
            _ => 4,
        }
    }
}

/// What a rule or a verdict map decides.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Let it pass this chain.
    Accept,
    /// Drop it.
    Drop,
    /// Go on after this rule (in maps).
    Continue,
    /// Back to the calling chain.
    Return,
    /// To another chain, and back.
    Jump(String),
    /// To another chain, not back.
    Goto(String),
}

impl Verdict {
    const fn code(&self) -> i32 {
        match self {
            Self::Drop => 0,
            Self::Accept => 1,
            Self::Continue => -1,
            Self::Jump(_) => -3,
            Self::Goto(_) => -4,
            Self::Return => -5,
        }
    }

    /// Writes it as the data attribute `kind`.
    pub(super) fn write(&self, out: &mut Buffer, kind: u16) {
        out.nest(kind, |data| {
            data.nest(uapi::DATA_VERDICT, |verdict| {
                verdict.be32(uapi::VERDICT_CODE, self.code().cast_unsigned());
                if let Self::Jump(chain) | Self::Goto(chain) = self {
                    verdict.text(uapi::VERDICT_CHAIN, chain);
                }
            });
        });
    }
}

/// Writes a value as the data attribute `kind`.
pub(super) fn write_value(out: &mut Buffer, kind: u16, value: &[u8]) {
    out.nest(kind, |data| {
        data.attr(uapi::DATA_VALUE, value);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concatenations_pad_each_part() {
        let key = Data::concat([6u8.into(), 80u16.into()]);
        assert_eq!(key.0, [6, 0, 0, 0, 0, 80, 0, 0]);
        let types = [DataType::Protocol, DataType::Port];
        assert_eq!(DataType::total_length(&types), key.0.len());
        assert_eq!(DataType::concatenated(&types), 12 << 6 | 13);
        assert_eq!(DataType::total_length(&[DataType::Port]), 2);
    }
}
