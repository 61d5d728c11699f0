//! A published port: which address and port of the machine reach which port of the container.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;
use std::str::FromStr;

use super::{ValueError, string_serde};

/// Transport of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, the default.
    Tcp,
    /// UDP.
    Udp,
}

/// Text: `[ADDRESS:]HOST:CONTAINER[/tcp|/udp]`, an IPv6 address in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishedPort {
    /// Address of the machine to listen on; `None` is all addresses of both families.
    pub host_address: Option<IpAddr>,
    /// Port of the machine.
    pub host_port: NonZeroU16,
    /// Port inside the container.
    pub container_port: NonZeroU16,
    /// Transport.
    pub protocol: Protocol,
}

const CURE: &str = "write \"HOST:CONTAINER\", for example \"8080:80\" or \"127.0.0.1:53:53/udp\"";

impl PublishedPort {
    /// Whether both want the same port of an address that they share.
    #[must_use]
    pub fn collides_with(&self, other: &Self) -> bool {
        let shared = match (self.host_address, other.host_address) {
            (None, _) | (_, None) => true,
            (Some(a), Some(b)) => a == b || is_any_for(a, b) || is_any_for(b, a),
        };
        self.protocol == other.protocol && self.host_port == other.host_port && shared
    }
}

/// Whether `any` is the unspecified address of a family that includes `other`.
fn is_any_for(any: IpAddr, other: IpAddr) -> bool {
    any.is_unspecified() && (any.is_ipv4() == other.is_ipv4() || any == Ipv6Addr::UNSPECIFIED)
}

impl FromStr for PublishedPort {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (body, protocol) = match text.rsplit_once('/') {
            None => (text, Protocol::Tcp),
            Some((body, "tcp")) => (body, Protocol::Tcp),
            Some((body, "udp")) => (body, Protocol::Udp),
            Some((_, other)) => {
                let problem = format!("{other:?} is not a transport");
                return Err(ValueError::new(problem, "use /tcp or /udp"));
            }
        };
        let Some((front, container)) = body.rsplit_once(':') else {
            let cure = if port(body).is_ok() {
                format!("write \"{body}:{body}\"")
            } else {
                CURE.into()
            };
            return Err(ValueError::new("the port of the machine is missing", cure));
        };
        let (address, host) = match front.rsplit_once(':') {
            None => (None, front),
            Some((address, host)) => (Some(parse_address(address)?), host),
        };
        Ok(Self {
            host_address: address,
            host_port: port(host)?,
            container_port: port(container)?,
            protocol,
        })
    }
}

fn parse_address(text: &str) -> Result<IpAddr, ValueError> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let parsed = match bare {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4),
    };
    parsed.ok_or_else(|| ValueError::new(format!("{text:?} is not an IP address"), CURE))
}

fn port(text: &str) -> Result<NonZeroU16, ValueError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        let cure = if text.contains('-') {
            "give each port an entry of its own"
        } else {
            CURE
        };
        return Err(ValueError::new(format!("{text:?} is not a port"), cure));
    }
    text.parse()
        .map_err(|_| ValueError::new(format!("port {text} is out of range"), "use 1 to 65535"))
}

impl fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_address {
            None => {}
            Some(IpAddr::V4(v4)) => write!(f, "{v4}:")?,
            Some(IpAddr::V6(v6)) => write!(f, "[{v6}]:")?,
        }
        write!(f, "{}:{}", self.host_port, self.container_port)?;
        match self.protocol {
            Protocol::Tcp => f.write_str("/tcp"),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}

string_serde!(PublishedPort);
