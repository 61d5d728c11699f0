//! Published ports: which of the host's are taken, which free one is given. Pure; whether another
//! program of the host listens on a port is asked through a closure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use crate::engine::request::{ContainerPort, Protocol, Publish};

/// Ports given when the caller asked for none: the kernel's default range for outgoing
/// connections, as other engines do.
pub const FREE_RANGE: RangeInclusive<u16> = 32_768..=60_999;

/// Why ports cannot be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Another container has it.
    #[error("Bind for {address}:{port} failed: port is already allocated")]
    Taken {
        /// Address of the host.
        address: IpAddr,
        /// Port of the host.
        port: u16,
    },
    /// A program of the host has it, or it cannot be had there.
    #[error("failed to bind host port for {address}:{port}: {reason}")]
    Bind {
        /// Address of the host.
        address: IpAddr,
        /// Port of the host.
        port: u16,
        /// Docker's words for it.
        reason: &'static str,
    },
    /// The whole range is in use.
    #[error("no free port is left to publish {0}")]
    NoneFree(ContainerPort),
}

/// Docker's words for a port that a program of the host has.
pub const IN_USE: &str = "address already in use";

/// The address as errors name it.
pub fn shown_address(publish: &Publish) -> IpAddr {
    publish.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Ports of the host that containers have.
#[derive(Debug, Clone, Default)]
pub struct PortTable {
    taken: BTreeSet<Taken>,
    last_free: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Taken {
    protocol: Protocol,
    port: u16,
    address: Option<IpAddr>,
}

impl PortTable {
    /// Gives every wish a real port of the host, or none of them any.
    ///
    /// `is_open` says whether a program of the host already uses the port.
    ///
    /// # Errors
    /// A port is taken, or none is free.
    pub fn take(&mut self, wishes: &[Publish], is_open: impl Fn(&Publish) -> bool) -> Result<Vec<Publish>, PortError> {
        let mut next = self.clone();
        let mut given = vec![];
        for wish in wishes {
            given.push(next.take_one(*wish, &is_open)?);
        }
        *self = next;
        Ok(given)
    }

    fn take_one(&mut self, wish: Publish, is_open: &impl Fn(&Publish) -> bool) -> Result<Publish, PortError> {
        let given = if wish.host_port == 0 {
            self.free_port(wish, is_open)?
        } else if self.is_taken(&wish) {
            return Err(PortError::Taken {
                address: shown_address(&wish),
                port: wish.host_port,
            });
        } else if is_open(&wish) {
            return Err(PortError::Bind {
                address: shown_address(&wish),
                port: wish.host_port,
                reason: IN_USE,
            });
        } else {
            wish
        };
        self.reserve(&given);
        Ok(given)
    }

    fn free_port(&mut self, wish: Publish, is_open: &impl Fn(&Publish) -> bool) -> Result<Publish, PortError> {
        let start = self.last_free.saturating_add(1).max(*FREE_RANGE.start());
        let given = (start..=*FREE_RANGE.end())
            .chain(FREE_RANGE)
            .map(|host_port| Publish { host_port, ..wish })
            .find(|candidate| !self.is_taken(candidate) && !is_open(candidate))
            .ok_or(PortError::NoneFree(wish.container))?;
        self.last_free = given.host_port;
        Ok(given)
    }

    /// Marks a port of an earlier run as taken.
    pub fn reserve(&mut self, publish: &Publish) {
        self.taken.insert(key(publish));
    }

    /// Gives ports back.
    pub fn release(&mut self, published: &[Publish]) {
        for publish in published {
            self.taken.remove(&key(publish));
        }
    }

    /// An address that was not named covers all, so it clashes with each.
    fn is_taken(&self, wish: &Publish) -> bool {
        let wanted = key(wish);
        self.taken.iter().any(|taken| {
            (taken.protocol, taken.port) == (wanted.protocol, wanted.port)
                && (taken.address.is_none() || wanted.address.is_none() || taken.address == wanted.address)
        })
    }
}

fn key(publish: &Publish) -> Taken {
    Taken {
        protocol: publish.container.protocol,
        port: publish.host_port,
        address: publish.host_ip.filter(|ip| !ip.is_unspecified()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(host_ip: &str, host_port: u16, protocol: Protocol) -> Publish {
        let host_ip = (!host_ip.is_empty()).then(|| host_ip.parse().unwrap());
        Publish {
            host_ip,
            host_port,
            container: ContainerPort { port: 80, protocol },
        }
    }

    fn nobody(_: &Publish) -> bool {
        false
    }

    #[test]
    fn a_port_is_given_once() {
        let wish = [publish("", 8080, Protocol::Tcp)];
        let mut table = PortTable::default();
        table.take(&wish, nobody).unwrap();
        let error = table.take(&wish, nobody).unwrap_err();
        let want = "Bind for 0.0.0.0:8080 failed: port is already allocated";
        assert_eq!(error.to_string(), want);
        table.release(&wish);
        table.take(&wish, nobody).unwrap();
    }

    #[test]
    fn addresses_and_protocols_clash_where_they_overlap() {
        let tcp = Protocol::Tcp;
        let table = [
            ("", "127.0.0.1", tcp, true),
            ("127.0.0.1", "", tcp, true),
            ("0.0.0.0", "127.0.0.1", tcp, true),
            ("127.0.0.1", "10.0.0.1", tcp, false),
            ("127.0.0.1", "127.0.0.1", tcp, true),
            ("", "", Protocol::Udp, false),
        ];
        for (first, second, protocol, clash) in table {
            let mut ports = PortTable::default();
            ports.take(&[publish(first, 53, tcp)], nobody).unwrap();
            let got = ports.take(&[publish(second, 53, protocol)], nobody).is_err();
            assert_eq!(got, clash, "{first:?} {second:?} {protocol:?}");
        }
    }

    #[test]
    fn a_free_port_is_one_nobody_uses() {
        let mut ports = PortTable::default();
        let wish = [publish("", 0, Protocol::Tcp), publish("", 0, Protocol::Tcp)];
        let given = ports.take(&wish, |p| p.host_port == 32_768).unwrap();
        let numbers: Vec<u16> = given.iter().map(|p| p.host_port).collect();
        assert_eq!(numbers, [32_769, 32_770]);
    }

    #[test]
    fn all_or_none() {
        let mut ports = PortTable::default();
        let (a, b) = (publish("", 1, Protocol::Tcp), publish("", 2, Protocol::Tcp));
        ports.take(&[b], nobody).unwrap();
        assert!(ports.take(&[a, b], nobody).is_err());
        ports.take(&[a], nobody).unwrap();
    }

    #[test]
    fn a_program_of_the_host_keeps_its_port() {
        let mut ports = PortTable::default();
        assert!(ports.take(&[publish("", 22, Protocol::Tcp)], |_| true).is_err());
    }
}
