//! Published ports as programs of the host see them: taken. The firewall leads connections on before any socket sees
//! them; but a program that wants the same port must be told that it is in use, and `[::1]` cannot be led on at all (IPv6
//! knows no `route_localnet`), so connections to it are carried by hand.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::ports::{IN_USE, PortError, shown_address};
use crate::engine::record::Endpoint;
use crate::engine::request::{Protocol, Publish};

/// Between two tries to listen: the listener of a run that has just ended may take a moment to go.
const AGAIN: Duration = Duration::from_millis(100);
/// Tries to listen.
const TRIES: u32 = 50;

/// A container's ports; given back when dropped.
#[derive(Debug)]
pub struct Held {
    _tcp: Vec<TcpListener>,
    _udp: Vec<UdpSocket>,
    _carried: JoinSet<()>,
}

/// Takes the ports of an endpoint.
///
/// # Errors
/// A program of the host has one, or there is no such address.
pub fn hold(endpoint: &Endpoint) -> Result<Held, PortError> {
    let (mut tcp, mut udp, mut carried) = (vec![], vec![], JoinSet::new());
    for publish in &endpoint.published {
        if is_on_loopback6(publish) {
            let to = SocketAddr::from((endpoint.ip4, publish.container.port));
            carried.spawn(carry(publish.host_port, to));
        }
        let Some(address) = held_address(publish) else { continue };
        let at = (address, publish.host_port);
        let failed = |error: io::Error| PortError::Bind {
            address: shown_address(publish),
            port: publish.host_port,
            reason: words(&error),
        };
        match publish.container.protocol {
            Protocol::Tcp => tcp.push(TcpListener::bind(at).map_err(failed)?),
            Protocol::Udp => udp.push(UdpSocket::bind(at).map_err(failed)?),
        }
    }
    Ok(Held {
        _tcp: tcp,
        _udp: udp,
        _carried: carried,
    })
}

/// Whether connections to `[::1]` belong to it.
fn is_on_loopback6(publish: &Publish) -> bool {
    let covers = match publish.host_ip {
        None => true,
        Some(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(IpAddr::V4(_)) => false,
    };
    covers && publish.container.protocol == Protocol::Tcp
}

/// Where a socket only keeps others away.
fn held_address(publish: &Publish) -> Option<IpAddr> {
    match publish.host_ip {
        None => Some(Ipv4Addr::UNSPECIFIED.into()),
        Some(IpAddr::V6(ip)) if ip.is_loopback() || ip.is_unspecified() => None,
        Some(ip) => Some(ip),
    }
}

fn words(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => IN_USE,
        io::ErrorKind::AddrNotAvailable => "cannot assign requested address",
        io::ErrorKind::PermissionDenied => "permission denied",
        _ => "the kernel refused it",
    }
}

/// Carries connections to `[::1]:port` until it is dropped.
async fn carry(port: u16, to: SocketAddr) {
    let Some(listener) = listen(port).await else { return };
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((client, _)) => {
                connections.spawn(carry_one(client, to));
            }
            // Out of descriptors, or a client that was too quick to leave.
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

async fn listen(port: u16) -> Option<tokio::net::TcpListener> {
    let mut tries = 0;
    loop {
        let error = match tokio::net::TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
            Ok(listener) => return Some(listener),
            Err(error) => error,
        };
        tries += 1;
        if tries == TRIES || error.kind() != io::ErrorKind::AddrInUse {
            let error = error.to_string();
            log::warn!(port = port, error = error; "a published port does not answer on [::1]");
            return None;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn carry_one(mut client: TcpStream, to: SocketAddr) {
    match TcpStream::connect(to).await {
        // Either side may break off.
        Ok(mut container) => drop(tokio::io::copy_bidirectional(&mut client, &mut container).await),
        Err(error) => {
            let error = error.to_string();
            log::debug!(address:% = to, error = error; "a connection to [::1] could not be carried on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::request::ContainerPort;

    #[test]
    fn addresses_that_are_held_and_carried() {
        let table = [
            (None, Some("0.0.0.0"), true),
            (Some("127.0.0.1"), Some("127.0.0.1"), false),
            (Some("::1"), None, true),
            (Some("::"), None, true),
            (Some("fd00::1"), Some("fd00::1"), false),
        ];
        for (host_ip, held, carried) in table {
            let publish = Publish {
                host_ip: host_ip.map(|ip: &str| ip.parse().unwrap()),
                host_port: 1,
                container: ContainerPort {
                    port: 1,
                    protocol: Protocol::Tcp,
                },
            };
            let held: Option<IpAddr> = held.map(|ip| ip.parse().unwrap());
            assert_eq!(
                (held_address(&publish), is_on_loopback6(&publish)),
                (held, carried),
                "{host_ip:?}"
            );
        }
    }
}
