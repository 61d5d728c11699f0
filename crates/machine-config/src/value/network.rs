//! Values of the network: hardware addresses, addresses with a network's bits, destinations, patterns of names.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::{ValueError, string_serde};

/// A hardware address of six bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

/// An address with the bits of its network: `192.0.2.10/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceAddress {
    /// The address.
    pub ip: IpAddr,
    /// Bits of the network.
    pub prefix: u8,
}

/// Where a route leads: `default` or a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// Everywhere, in the family of the gateway.
    Default,
    /// The addresses of a network; its own address and its bits.
    Network(IpAddr, u8),
}

/// A kernel's name of a link, with `*` for any characters and `?` for one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkPattern(String);

/// Longest name of a link that the kernel takes, in bytes.
pub const LINK_NAME_MAX: usize = 15;

impl FromStr for Mac {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let cure = "write six bytes in hexadecimal digits, \"52:54:00:12:34:56\"";
        let bad = || ValueError::new(format!("{text:?} is not a hardware address"), cure);
        let mut bytes = [0; 6];
        let mut parts = text.split(if text.contains('-') { '-' } else { ':' });
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(bad)?;
            let digits = part.bytes().all(|b| b.is_ascii_hexdigit());
            *byte = u8::from_str_radix(part, 16).ok().filter(|_| digits).ok_or_else(bad)?;
        }
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(Self(bytes))
    }
}

impl FromStr for InterfaceAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let cure = "write an address and the bits of its network, \"192.0.2.10/24\"";
        let (ip, prefix) = split(text, cure)?;
        if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() {
            return Err(ValueError::new(
                format!("{ip} cannot be a link's address"),
                "give an address that only this machine has",
            ));
        }
        if prefix == 0 {
            return Err(ValueError::new("a network of 0 bits holds every address", cure));
        }
        let special = network(ip, prefix) == ip || is_broadcast(ip, prefix);
        if ip.is_ipv4() && prefix < 31 && special {
            let problem = format!("{ip} is the first or the last address of its network, which no machine has");
            return Err(ValueError::new(problem, "give the machine's own address"));
        }
        Ok(Self { ip, prefix })
    }
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn is_broadcast(ip: IpAddr, prefix: u8) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.to_bits() | mask_v4(prefix) == u32::MAX,
        IpAddr::V6(_) => false,
    }
}

/// The first address of the network that `ip` is in.
#[must_use]
pub fn network(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => std::net::Ipv4Addr::from_bits(ip.to_bits() & mask_v4(prefix)).into(),
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            std::net::Ipv6Addr::from_bits(ip.to_bits() & mask).into()
        }
    }
}

impl InterfaceAddress {
    /// Whether `ip` is in the address's network.
    #[must_use]
    pub fn holds(&self, ip: IpAddr) -> bool {
        self.ip.is_ipv4() == ip.is_ipv4() && network(self.ip, self.prefix) == network(ip, self.prefix)
    }
}

fn split(text: &str, cure: &str) -> Result<(IpAddr, u8), ValueError> {
    let (ip, prefix) = text
        .split_once('/')
        .ok_or_else(|| ValueError::new(format!("{text:?} has no network's bits"), cure))?;
    let ip: IpAddr = ip
        .parse()
        .map_err(|_| ValueError::new(format!("{ip:?} is not an IP address"), cure))?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let digits = !prefix.is_empty() && prefix.len() <= 3 && prefix.bytes().all(|b| b.is_ascii_digit());
    let prefix = prefix.parse().ok().filter(|bits| digits && *bits <= most);
    let prefix = prefix.ok_or_else(|| {
        let problem = format!("the bits of a network of {ip} are a number up to {most}");
        ValueError::new(problem, cure)
    })?;
    Ok((ip, prefix))
}

impl FromStr for Destination {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "default" {
            return Ok(Self::Default);
        }
        let cure = "write \"default\" or a network, \"10.0.0.0/8\"";
        let (ip, prefix) = split(text, cure)?;
        let first = network(ip, prefix);
        if first != ip {
            let problem = format!("{ip} is not the first address of a network of {prefix} bits");
            return Err(ValueError::new(problem, format!("write \"{first}/{prefix}\"")));
        }
        if prefix == 0 {
            return Err(ValueError::new("this is every address", "write \"default\""));
        }
        Ok(Self::Network(ip, prefix))
    }
}

impl LinkPattern {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for more names than one.
    #[must_use]
    pub fn is_glob(&self) -> bool {
        self.0.contains(['*', '?'])
    }

    /// Whether a name fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        fits(self.0.as_bytes(), name.as_bytes())
    }
}

/// Backtracks to the last `*` only: no more steps than the product of the lengths.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || Some(c) == name.get(n) => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|c| *c == b'*')
}

impl FromStr for LinkPattern {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let good = |c: char| c.is_ascii_graphic() && !"/:[]{}\\\"'".contains(c);
        if text.is_empty() || text.len() > LINK_NAME_MAX || !text.chars().all(good) || text == "lo" {
            return Err(ValueError::new(
                format!("{text:?} is no name of a device"),
                "write a kernel's name, at most 15 characters; '*' stands for any, '?' for one",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Network(ip, prefix) => write!(f, "{ip}/{prefix}"),
        }
    }
}

impl fmt::Display for LinkPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

string_serde!(Mac, InterfaceAddress, Destination, LinkPattern);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hardware_addresses() {
        for text in ["52:54:00:12:34:56", "52-54-00-12-34-56"] {
            assert_eq!(text.parse::<Mac>().unwrap().to_string(), "52:54:00:12:34:56");
        }
        for text in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:56:78",
            "5:4:0:1:3:6",
            "+1:54:00:12:34:56",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses() {
        for text in [
            "192.0.2.10/24",
            "192.0.2.0/31",
            "192.0.2.255/32",
            "2001:db8::1/64",
            "2001:db8::/128",
        ] {
            assert_eq!(text.parse::<InterfaceAddress>().unwrap().to_string(), text);
        }
        for text in [
            "192.0.2.10",
            "192.0.2.10/33",
            "192.0.2.0/24",
            "192.0.2.255/24",
            "0.0.0.0/8",
            "127.0.0.1/8",
            "::1/128",
            "224.0.0.1/4",
            "192.0.2.10/+4",
            "192.0.2.10/0",
            "192.0.2.10/",
            "x/24",
            "2001:db8::1/129",
        ] {
            assert!(text.parse::<InterfaceAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn destinations() {
        for text in ["default", "10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        for (text, cure) in [
            ("10.1.0.0/8", "write \"10.0.0.0/8\""),
            ("0.0.0.0/0", "write \"default\""),
        ] {
            assert_eq!(text.parse::<Destination>().unwrap_err().cure, cure);
        }
    }

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("en*", "enp3s0", true),
            ("en*0", "enp3s0", true),
            ("en*1", "enp3s0", false),
            ("e?h*", "eth", true),
            ("*", "", true),
            ("*a*b", "xaab", true),
        ] {
            assert_eq!(
                pattern.parse::<LinkPattern>().unwrap().matches(name),
                expected,
                "{pattern} {name}"
            );
        }
        assert!("eth 0".parse::<LinkPattern>().is_err());
    }

    proptest! {
        #[test]
        fn an_address_is_in_its_network(bits: u32, prefix in 1..=30_u8) {
            let ip = IpAddr::from(std::net::Ipv4Addr::from_bits(bits));
            let address = InterfaceAddress { ip, prefix };
            prop_assert!(address.holds(ip) && address.holds(network(ip, prefix)));
        }
    }
}
