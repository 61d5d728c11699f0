//! What router advertisements say beyond addresses and routes, which the kernel takes care of: name
//! servers and search domains (RFC 8106), with their lifetimes. Pure.

use crate::names;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

const RDNSS: u8 = 25;
const DNSSL: u8 = 31;
/// Entries kept per link; more is abuse.
const MOST: usize = 8;
const FOREVER: u32 = u32::MAX;

/// An option of a router advertisement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouterOption {
    /// Name servers.
    Dns {
        /// How long to use them; zero: no longer. None: for ever.
        lifetime: Option<Duration>,
        /// Their addresses.
        servers: Vec<Ipv6Addr>,
    },
    /// Search domains.
    Search {
        /// As above.
        lifetime: Option<Duration>,
        /// The names.
        domains: Vec<String>,
    },
}

/// Reads an option with its type and length bytes; None for others and malformed ones.
pub fn parse_option(bytes: &[u8]) -> Option<RouterOption> {
    let (kind, units) = (*bytes.first()?, *bytes.get(1)?);
    let option = bytes.get(..usize::from(units) * 8)?;
    let seconds = option.get(4..8)?.first_chunk().copied().map(u32::from_be_bytes)?;
    let lifetime = (seconds != FOREVER).then(|| Duration::from_secs(seconds.into()));
    let content = option.get(8..)?;
    match kind {
        RDNSS => {
            let addresses = content.as_chunks::<16>().0.iter().copied().map(Ipv6Addr::from);
            let servers = addresses.filter(|ip| is_server(*ip)).take(MOST).collect();
            Some(RouterOption::Dns { lifetime, servers })
        }
        DNSSL => Some(RouterOption::Search {
            lifetime,
            domains: names::parse_wire_list(content),
        }),
        _ => None,
    }
}

fn is_server(ip: Ipv6Addr) -> bool {
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast())
}

/// Things with an end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expiring<T> {
    value: T,
    /// None: never.
    end: Option<Instant>,
}

/// What the routers of a link have said and still holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouterInfo {
    servers: Vec<Expiring<Ipv6Addr>>,
    domains: Vec<Expiring<String>>,
}

impl RouterInfo {
    /// Takes an option in.
    pub fn update(&mut self, now: Instant, option: RouterOption) {
        match option {
            RouterOption::Dns { lifetime, servers } => merge(&mut self.servers, now, lifetime, servers),
            RouterOption::Search { lifetime, domains } => merge(&mut self.domains, now, lifetime, domains),
        }
    }

    /// Name servers in use.
    pub fn servers(&self, now: Instant) -> impl Iterator<Item = Ipv6Addr> + '_ {
        alive(&self.servers, now).copied()
    }

    /// Search domains in use.
    pub fn domains(&self, now: Instant) -> impl Iterator<Item = &str> + '_ {
        alive(&self.domains, now).map(String::as_str)
    }

    /// When something ends next.
    pub fn next_end(&self, now: Instant) -> Option<Instant> {
        let servers = self.servers.iter().filter_map(|entry| entry.end);
        let domains = self.domains.iter().filter_map(|entry| entry.end);
        servers.chain(domains).filter(|end| *end > now).min()
    }
}

fn alive<T>(entries: &[Expiring<T>], now: Instant) -> impl Iterator<Item = &T> {
    entries
        .iter()
        .filter(move |entry| entry.end.is_none_or(|end| end > now))
        .map(|entry| &entry.value)
}

fn merge<T: PartialEq>(entries: &mut Vec<Expiring<T>>, now: Instant, lifetime: Option<Duration>, values: Vec<T>) {
    let end = lifetime.map(|lifetime| now + lifetime);
    for value in values {
        match entries.iter_mut().find(|entry| entry.value == value) {
            Some(entry) => entry.end = end,
            None => entries.push(Expiring { value, end }),
        }
    }
    entries.retain(|entry| entry.end.is_none_or(|end| end > now));
    entries.truncate(MOST);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dns(lifetime: u32, servers: &[Ipv6Addr]) -> Vec<u8> {
        let mut bytes = vec![RDNSS, u8::try_from(1 + 2 * servers.len()).unwrap(), 0, 0];
        bytes.extend_from_slice(&lifetime.to_be_bytes());
        bytes.extend(servers.iter().flat_map(|ip| ip.octets()));
        bytes
    }

    const ONE: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
    const TWO: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

    #[test]
    fn servers_come_stay_and_go() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let mut info = RouterInfo::default();
        info.update(now, parse_option(&dns(600, &[ONE, TWO])).unwrap());
        info.update(later(10), parse_option(&dns(1200, &[ONE])).unwrap());
        assert_eq!(info.servers(later(11)).collect::<Vec<_>>(), [ONE, TWO]);
        assert_eq!(info.next_end(later(11)), Some(later(600)));
        assert_eq!(info.servers(later(601)).collect::<Vec<_>>(), [ONE]);
        info.update(later(602), parse_option(&dns(0, &[ONE])).unwrap());
        assert_eq!(info.servers(later(602)).count(), 0);
        info.update(now, parse_option(&dns(u32::MAX, &[TWO])).unwrap());
        assert_eq!(info.servers(later(1_000_000)).collect::<Vec<_>>(), [TWO]);
    }

    #[test]
    fn domains() {
        let bytes = [
            &[DNSSL, 3, 0, 0, 0, 0, 2, 88][..],
            b"\x07example\x03org\x00\x00\x00\x00",
        ]
        .concat();
        let Some(RouterOption::Search { lifetime, domains }) = parse_option(&bytes) else {
            panic!()
        };
        assert_eq!(
            (lifetime, domains),
            (Some(Duration::from_secs(600)), vec!["example.org".to_owned()])
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..80), kind in prop::sample::select(vec![RDNSS, DNSSL, 3])) {
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            let _ = parse_option(&bytes);
        }
    }
}
