//! Names of hosts: the machine's own, a server's, a registry's.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::{ValueError, string_serde};

/// A host name: one or more labels of `a-z 0-9 -`, at most 63 bytes in all (the kernel's limit is 64).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hostname(String);

/// A server by name or address, without a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Server {
    /// To be resolved.
    Name(Hostname),
    /// As it is.
    Address(IpAddr),
}

/// A registry as it stands before the first `/` of an image reference: `HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryHost(String);

const MAX_NAME: usize = 63;

impl Hostname {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first label.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }
}

impl FromStr for Hostname {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        check_dns_name(text, MAX_NAME)?;
        Ok(Self(text.to_owned()))
    }
}

/// RFC 1123 section 2.1, lower case only: names are compared as bytes elsewhere.
fn check_dns_name(text: &str, max: usize) -> Result<(), ValueError> {
    let cure = "use labels of a-z, 0-9 and '-' joined by '.', not starting or ending with '-'";
    if text.is_empty() {
        return Err(ValueError::new("the host name is empty", cure));
    }
    if text.len() > max {
        let problem = format!("the host name has {} bytes, more than {max}", text.len());
        return Err(ValueError::new(problem, "shorten it"));
    }
    let lower = text.to_ascii_lowercase();
    if lower != text {
        let good = check_dns_name(&lower, max).is_ok();
        let cure = if good {
            format!("write {lower:?}")
        } else {
            cure.to_owned()
        };
        return Err(ValueError::new("host names are written in lower case", cure));
    }
    for label in text.split('.') {
        let bad = label.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '-'));
        if let Some(bad) = bad {
            return Err(ValueError::new(format!("{bad:?} cannot be part of a host name"), cure));
        }
        if label.is_empty() || label.starts_with('-') || label.ends_with('-') || label.len() > 63 {
            return Err(ValueError::new(format!("{label:?} is not a host name's label"), cure));
        }
    }
    Ok(())
}

/// A domain, of the length that DNS allows.
pub(crate) fn check_domain(text: &str) -> Result<(), ValueError> {
    check_dns_name(text, 253)
}

impl FromStr for Server {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(ValueError::new(
                format!("{text:?} is not an IP address"),
                "write four numbers, \"192.0.2.1\", or a name",
            ));
        }
        check_domain(text)?;
        Ok(Self::Name(Hostname(text.to_owned())))
    }
}

impl RegistryHost {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RegistryHost {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let cure = "write HOST or HOST:PORT, for example \"10.0.2.2:5000\"";
        if let Some((scheme, rest)) = text.split_once("://") {
            let host = rest.split('/').next().unwrap_or(rest);
            let extra = if scheme == "http" {
                " and set plain-http = true"
            } else {
                ""
            };
            let cure = format!("write {host:?}{extra}");
            return Err(ValueError::new("a registry is named without a scheme", cure));
        }
        if text.contains('/') {
            return Err(ValueError::new("a registry is named without a path", cure));
        }
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((v6, tail)) => {
                let v6: Result<Ipv6Addr, _> = v6.parse();
                v6.map_err(|_| ValueError::new("this is not an IPv6 address", cure))?;
                ("", (!tail.is_empty()).then(|| tail.strip_prefix(':').unwrap_or("x")))
            }
            None => match text.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if let Some(port) = port {
            let good = port.parse::<std::num::NonZeroU16>().is_ok() && !port.starts_with('+');
            if !good {
                return Err(ValueError::new(format!("{port:?} is not a port"), cure));
            }
        }
        if !text.starts_with('[') {
            check_domain(host)?;
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

string_serde!(Hostname, Server, RegistryHost);
