//! Addresses of a bridge: which are free, which a container gets. Pure.
//!
//! A container's IPv6 and hardware addresses follow from its IPv4 address, so one table says all.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// The addresses of one network, as kept in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Subnets {
    /// Network address.
    pub net4: Ipv4Addr,
    /// Length of its prefix, 8 to 29.
    pub prefix4: u8,
    /// Unique local network.
    pub net6: Ipv6Addr,
    /// Length of its prefix, at most 96.
    pub prefix6: u8,
}

/// No address is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no address is left on the network")]
pub struct Exhausted;

impl Subnets {
    /// The default bridge: 172.30.0.0/16, and a unique local /64 made of five `random` octets
    /// (RFC 4193 section 3.2.2).
    pub fn default_bridge(random: [u8; 5]) -> Subnets {
        let [a, b, c, d, e] = random;
        let octets = [0xfd, a, b, c, d, e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        Subnets {
            net4: Ipv4Addr::new(172, 30, 0, 0),
            prefix4: 16,
            net6: Ipv6Addr::from(octets),
            prefix6: 64,
        }
    }

    /// The host's own address on the bridge: the first one.
    pub fn gateway4(&self) -> Ipv4Addr {
        self.address4(1)
    }

    /// The host's own IPv6 address on the bridge.
    pub fn gateway6(&self) -> Ipv6Addr {
        self.address6(1)
    }

    /// How many addresses the IPv4 network has, network and broadcast addresses included.
    fn size(&self) -> u32 {
        1u32.checked_shl(32u32.saturating_sub(u32::from(self.prefix4)))
            .unwrap_or(u32::MAX)
    }

    fn address4(&self, host: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.net4.to_bits() | host)
    }

    fn address6(&self, host: u32) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.net6.to_bits() | u128::from(host))
    }

    fn host(&self, address: Ipv4Addr) -> Option<u32> {
        let host = address.to_bits() ^ self.net4.to_bits();
        (host < self.size()).then_some(host)
    }

    /// Network in CIDR notation.
    pub fn cidr4(&self) -> String {
        format!("{}/{}", self.net4, self.prefix4)
    }

    /// IPv6 network in CIDR notation.
    pub fn cidr6(&self) -> String {
        format!("{}/{}", self.net6, self.prefix6)
    }
}

/// The addresses of one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// IPv4 address.
    pub ip4: Ipv4Addr,
    /// IPv6 address.
    pub ip6: Ipv6Addr,
    /// Hardware address: `02:42:` and the IPv4 address, as others do.
    pub mac: [u8; 6],
}

/// Which addresses are in use.
#[derive(Debug, Clone)]
pub struct Pool {
    subnets: Subnets,
    used: BTreeSet<u32>,
    last: u32,
}

impl Pool {
    /// A pool in which only the gateway is taken.
    pub fn new(subnets: Subnets) -> Pool {
        Pool {
            subnets,
            used: BTreeSet::new(),
            last: 1,
        }
    }

    /// The network it hands out.
    pub fn subnets(&self) -> &Subnets {
        &self.subnets
    }

    /// Takes the next free address after the one given last, so that an address that has just
    /// been freed rests for as long as possible.
    ///
    /// # Errors
    /// None is left.
    pub fn take(&mut self) -> Result<Addresses, Exhausted> {
        let end = self.subnets.size().saturating_sub(1);
        let after = self.last.saturating_add(1)..end;
        let host = after
            .chain(2..end)
            .find(|host| !self.used.contains(host))
            .ok_or(Exhausted)?;
        self.used.insert(host);
        self.last = host;
        Ok(self.addresses(host))
    }

    /// Marks an address of an earlier run as taken. Foreign addresses are ignored.
    pub fn reserve(&mut self, address: Ipv4Addr) {
        if let Some(host) = self.subnets.host(address) {
            self.used.insert(host);
            self.last = self.last.max(host);
        }
    }

    /// Gives an address back. Foreign addresses are ignored.
    pub fn release(&mut self, address: Ipv4Addr) {
        if let Some(host) = self.subnets.host(address) {
            self.used.remove(&host);
        }
    }

    fn addresses(&self, host: u32) -> Addresses {
        let ip4 = self.subnets.address4(host);
        let [a, b, c, d] = ip4.octets();
        Addresses {
            ip4,
            ip6: self.subnets.address6(host),
            mac: [0x02, 0x42, a, b, c, d],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn small() -> Pool {
        let subnets = Subnets::default_bridge([1, 2, 3, 4, 5]);
        Pool::new(Subnets { prefix4: 29, ..subnets })
    }

    #[test]
    fn hands_out_addresses_after_the_gateway() {
        let mut pool = Pool::new(Subnets::default_bridge([1, 2, 3, 4, 5]));
        let first = pool.take().unwrap();
        assert_eq!(first.ip4, Ipv4Addr::new(172, 30, 0, 2));
        assert_eq!(first.ip6, "fd01:203:405::2".parse::<Ipv6Addr>().unwrap());
        assert_eq!(first.mac, [2, 0x42, 172, 30, 0, 2]);
        assert_eq!(pool.subnets().gateway4(), Ipv4Addr::new(172, 30, 0, 1));
    }

    #[test]
    fn a_freed_address_rests_before_it_is_given_again() {
        let mut pool = small();
        let first = pool.take().unwrap();
        pool.release(first.ip4);
        assert_ne!(pool.take().unwrap().ip4, first.ip4);
    }

    #[test]
    fn is_exhausted_before_the_broadcast_address() {
        let mut pool = small();
        let all: Vec<u8> = std::iter::from_fn(|| pool.take().ok())
            .map(|a| a.ip4.octets()[3])
            .collect();
        assert_eq!(all, [2, 3, 4, 5, 6]);
        assert_eq!(pool.take(), Err(Exhausted));
    }

    #[test]
    fn ignores_foreign_addresses() {
        let mut pool = small();
        pool.reserve(Ipv4Addr::new(10, 0, 0, 2));
        pool.release(Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(pool.take().unwrap().ip4.octets()[3], 2);
    }

    proptest! {
        #[test]
        fn never_gives_an_address_twice(steps in proptest::collection::vec(any::<Option<u8>>(), 0..200)) {
            let mut pool = small();
            let mut held: Vec<Ipv4Addr> = vec![];
            for step in steps {
                match step {
                    None => if let Ok(got) = pool.take() {
                        prop_assert!(!held.contains(&got.ip4));
                        held.push(got.ip4);
                    },
                    Some(n) if !held.is_empty() => {
                        let at = usize::from(n) % held.len();
                        pool.release(held.swap_remove(at));
                    }
                    Some(_) => {}
                }
            }
        }
    }
}
