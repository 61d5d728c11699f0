//! What `--port` takes.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::str::FromStr;

use anyhow::Context;
use thiserror::Error;

use crate::qemu::{Forward, Protocol};

/// A port of the host that leads to a port of the container: `8080:80`, `5353:53/udp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    protocol: Protocol,
    host: u16,
    container: u16,
}

/// A text that is no port.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not HOST:CONTAINER with ports from 1 to 65535, optionally followed by /tcp or /udp")]
pub struct PortError {
    text: String,
}

impl FromStr for Port {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Port, PortError> {
        parse(text).ok_or_else(|| PortError { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<Port> {
    let (ports, protocol) = match text.split_once('/') {
        Some((ports, "udp")) => (ports, Protocol::Udp),
        Some((ports, "tcp")) => (ports, Protocol::Tcp),
        Some(_) => return None,
        None => (text, Protocol::Tcp),
    };
    let (host, container) = ports.split_once(':')?;
    let number = |text: &str| text.parse().ok().filter(|port| *port != 0);
    Some(Port {
        protocol,
        host: number(host)?,
        container: number(container)?,
    })
}

impl Port {
    /// The way through QEMU's user network: the guest publishes the container's port under its own number.
    #[must_use]
    pub const fn forward(&self) -> Forward {
        Forward {
            protocol: self.protocol,
            host: self.host,
            guest: self.container,
        }
    }

    /// What the document says.
    #[must_use]
    pub fn published(&self) -> String {
        let suffix = if self.is_tcp() { "" } else { "/udp" };
        format!("{0}:{0}{suffix}", self.container)
    }

    /// Whether pages can come through it.
    #[must_use]
    pub const fn is_tcp(&self) -> bool {
        matches!(self.protocol, Protocol::Tcp)
    }

    /// Says beforehand what QEMU would only say as its own failure.
    ///
    /// # Errors
    /// Another program has the port, or this one may not use it.
    pub fn check_free(&self) -> anyhow::Result<()> {
        let at = (Ipv4Addr::LOCALHOST, self.host);
        let taken = match self.protocol {
            Protocol::Tcp => TcpListener::bind(at).map(drop),
            Protocol::Udp => UdpSocket::bind(at).map(drop),
        };
        let cure = format!("give another one: --port HOST:{}", self.container);
        taken.with_context(|| format!("port {} of this host cannot be used; {cure}", self.host))
    }

    /// Where it is reached on the host.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.is_tcp() { "http" } else { "udp" };
        format!("{scheme}://127.0.0.1:{}/", self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let port = |protocol, host, container| {
            Some(Port {
                protocol,
                host,
                container,
            })
        };
        let table = [
            ("8080:80", port(Protocol::Tcp, 8080, 80)),
            ("53:53/udp", port(Protocol::Udp, 53, 53)),
            ("1:2/tcp", port(Protocol::Tcp, 1, 2)),
            ("80", None),
            ("0:80", None),
            ("80:65536", None),
            ("80:80/sctp", None),
            ("a:b", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_taken_port_is_named_with_its_cure() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let host = taken.local_addr().unwrap().port();
        let error = Port {
            protocol: Protocol::Tcp,
            host,
            container: 80,
        }
        .check_free()
        .unwrap_err();
        assert!(error.to_string().contains("--port HOST:80"), "{error}");
    }

    #[test]
    fn the_guest_publishes_the_port_of_the_container() {
        let port: Port = "5353:53/udp".parse().unwrap();
        assert_eq!(port.published(), "53:53/udp");
        assert_eq!(port.forward().guest, 53);
        assert_eq!(port.url(), "udp://127.0.0.1:5353/");
    }
}
