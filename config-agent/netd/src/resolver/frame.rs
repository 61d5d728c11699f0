//! Frames of the record socket: one JSON object per packet. Pure.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::str::FromStr;

/// Name of the protocol.
pub const PROTOCOL: &str = "keelson-resolver";
/// Its version.
pub const VERSION: u32 = 1;
/// Largest packet in bytes.
pub const LARGEST: usize = 64 * 1024;

/// First packet, both ways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: String,
    /// [`VERSION`].
    pub version: u32,
    /// Name under which records outlive the connection for a while, so that their owner can restart
    /// without a gap. Absent: they vanish with the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

impl Hello {
    /// Our own.
    pub fn ours() -> Self {
        Self {
            protocol: PROTOCOL.into(),
            version: VERSION,
            session: None,
        }
    }
}

/// A request; answered by a [`Reply`] with the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the client.
    pub id: u64,
    /// What to do.
    #[serde(flatten)]
    pub body: Body,
}

/// What a client can ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Body {
    /// Make a network known, or replace its description; its records stay.
    SetNetwork {
        /// The network.
        network: Network,
    },
    /// Forget a network and its records.
    RemoveNetwork {
        /// Its name.
        name: String,
    },
    /// Add records. All of them or none.
    Add {
        /// The records.
        records: Vec<Record>,
    },
    /// Remove records; those that are not there are no error.
    Remove {
        /// The records.
        records: Vec<Record>,
    },
    /// After a restart with the same session: all is pushed; what was not pushed again goes.
    Settled,
}

/// A network whose members ask us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Network {
    /// Name, unique among the session's.
    pub name: String,
    /// Addresses of this machine at which its members ask; we listen there.
    pub gateways: Vec<IpAddr>,
    /// Addresses its members have.
    pub subnets: Vec<Subnet>,
    /// Whether its members may ask for names outside.
    #[serde(default = "yes")]
    pub forward: bool,
}

fn yes() -> bool {
    true
}

/// A name of a member of a network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// The network.
    pub network: String,
    /// The name; several members may share one.
    pub name: String,
    /// The member's address in this network.
    pub address: IpAddr,
    /// Who the member is (a container's id). A member of several networks sees the names of all.
    #[serde(default)]
    pub owner: String,
}

/// Addresses with the same first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

/// A subnet that is not written ADDRESS/BITS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a network such as 172.18.0.0/16")]
pub struct SubnetError {
    text: String,
}

impl Subnet {
    /// True when `ip` lies in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                (own.to_bits() ^ ip.to_bits()) & mask == 0
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                (own.to_bits() ^ ip.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            let (address, prefix) = (address.parse().ok()?, prefix.parse().ok()?);
            let most = if matches!(address, IpAddr::V4(_)) { 32 } else { 128 };
            (prefix <= most).then_some(Self { address, prefix })
        };
        parse().ok_or_else(|| SubnetError { text: text.into() })
    }
}

impl TryFrom<String> for Subnet {
    type Error = SubnetError;

    fn try_from(text: String) -> Result<Self, SubnetError> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        format!("{}/{}", subnet.address, subnet.prefix)
    }
}

/// Answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The request's.
    pub id: u64,
    /// What was wrong with the request, which then changed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Why a packet is no frame of this protocol.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Too long, or cut by the socket.
    #[error("longer than {LARGEST} bytes")]
    Long,
    /// Not the JSON that belongs here.
    #[error("not a frame of {PROTOCOL}")]
    Syntax(#[source] serde_json::Error),
    /// Another protocol or version.
    #[error("speaks {protocol} {version}, not {PROTOCOL} {VERSION}")]
    Protocol {
        /// What it says.
        protocol: String,
        /// What it says.
        version: u32,
    },
}

/// Reads the first packet.
///
/// # Errors
/// [`FrameError`].
pub fn parse_hello(packet: &[u8]) -> Result<Hello, FrameError> {
    let hello: Hello = parse(packet)?;
    if hello.protocol != PROTOCOL || hello.version != VERSION {
        return Err(FrameError::Protocol {
            protocol: hello.protocol,
            version: hello.version,
        });
    }
    Ok(hello)
}

/// Reads a request.
///
/// # Errors
/// [`FrameError`].
pub fn parse_request(packet: &[u8]) -> Result<Request, FrameError> {
    parse(packet)
}

fn parse<'a, T: Deserialize<'a>>(packet: &'a [u8]) -> Result<T, FrameError> {
    if packet.len() > LARGEST {
        return Err(FrameError::Long);
    }
    serde_json::from_slice(packet).map_err(FrameError::Syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_as_documented() {
        let table = [
            r#"{"id":1,"op":"set-network","network":{"name":"app","gateways":["172.18.0.1"],"subnets":["172.18.0.0/16"],"forward":false}}"#,
            r#"{"id":2,"op":"add","records":[{"network":"app","name":"db","address":"172.18.0.2","owner":"c1"}]}"#,
            r#"{"id":3,"op":"remove","records":[]}"#,
            r#"{"id":4,"op":"remove-network","name":"app"}"#,
            r#"{"id":5,"op":"settled"}"#,
        ];
        for text in table {
            let request = parse_request(text.as_bytes()).unwrap();
            assert_eq!(serde_json::to_string(&request).unwrap(), text);
        }
        assert!(
            parse_request(br#"{"id":5,"op":"settled","new":1}"#).is_ok(),
            "unknown fields are ignored"
        );
        for text in ["", "{}", r#"{"id":1,"op":"other"}"#, r#"{"id":1,"op":"add"}"#] {
            assert!(parse_request(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_first_packet_says_what_is_spoken() {
        let hello = Hello {
            session: Some("engine".into()),
            ..Hello::ours()
        };
        let text = serde_json::to_string(&hello).unwrap();
        assert_eq!(
            text,
            r#"{"protocol":"keelson-resolver","version":1,"session":"engine"}"#
        );
        assert_eq!(parse_hello(text.as_bytes()).unwrap(), hello);
        let other = parse_hello(br#"{"protocol":"keelson-resolver","version":2}"#);
        assert!(matches!(other, Err(FrameError::Protocol { version: 2, .. })));
    }

    #[test]
    fn subnets() {
        let subnet: Subnet = "172.18.0.0/16".parse().unwrap();
        assert!(subnet.contains([172, 18, 255, 1].into()) && !subnet.contains([172, 19, 0, 1].into()));
        let all: Subnet = "::/0".parse().unwrap();
        assert!(all.contains("fd00::1".parse().unwrap()) && !all.contains([1, 1, 1, 1].into()));
        for text in ["172.18.0.0", "172.18.0.0/33", "x/1", "::/129", ""] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }
}
