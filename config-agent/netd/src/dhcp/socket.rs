//! The two sockets of the DHCP client: the raw link before there is an address, and UDP afterwards.

use super::frame::{self, CLIENT_PORT, SERVER_PORT};
use keelson_daemon::Readable;
use keelson_sys::packet::{self, Instruction};
use rustix::fd::AsFd;
use rustix::net::{RecvFlags, recv};
use std::io;
use std::net::Ipv4Addr;
use tokio::net::UdpSocket;

const IPV4: u16 = 0x0800;
const EVERYONE: [u8; 6] = [0xff; 6];
const LARGEST: usize = 2048;

/// Unfragmented UDP over IPv4 to port 68, and nothing else, wakes us up.
const FILTER: [Instruction; 8] = [
    (0x30, 0, 0, 9),                  // byte at 9: protocol
    (0x15, 0, 5, 17),                 // UDP?
    (0x28, 0, 0, 6),                  // half-word at 6: fragment
    (0x45, 3, 0, 0x1fff),             // first fragment?
    (0xb1, 0, 0, 0),                  // X = length of the IP header
    (0x48, 0, 0, 2),                  // half-word at X + 2: destination port
    (0x15, 1, 0, CLIENT_PORT as u32), // ours?
    (0x06, 0, 0, 0),                  // no
];
const PASS: Instruction = (0x06, 0, 0, 0xffff);

/// DHCP on a link without an address.
#[derive(Debug)]
pub struct RawLink {
    fd: Readable,
    link: u32,
}

impl RawLink {
    /// Opens it. Needs CAP_NET_RAW.
    ///
    /// # Errors
    /// As [`packet::open`].
    pub fn open(link: u32) -> io::Result<Self> {
        let filter: Vec<_> = FILTER.iter().copied().chain([PASS]).collect();
        let fd = packet::open(link, IPV4, &filter)?;
        Ok(Self {
            fd: Readable::watch(fd)?,
            link,
        })
    }

    /// Sends a DHCP packet to everyone on the link.
    ///
    /// # Errors
    /// As [`packet::send_to`].
    pub fn send(&self, payload: &[u8]) -> io::Result<()> {
        let datagram = frame::encode(payload);
        Ok(packet::send_to(self.fd.as_fd(), self.link, IPV4, EVERYONE, &datagram)?)
    }

    /// The next DHCP packet to a client.
    ///
    /// # Errors
    /// The socket's, for instance when the link is gone.
    pub async fn receive(&self) -> io::Result<Vec<u8>> {
        loop {
            let mut buffer = vec![0; LARGEST];
            let (length, _) = self
                .fd
                .read(|fd| recv(fd, buffer.as_mut_slice(), RecvFlags::empty()))
                .await?;
            if let Some(payload) = buffer.get(..length).and_then(frame::decode) {
                return Ok(payload.to_vec());
            }
        }
    }
}

/// A socket to renew a lease from `address` on the link called `name`.
///
/// # Errors
/// The port is taken, or the address is gone.
pub async fn open_bound(name: &str, address: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((address, CLIENT_PORT)).await?;
    socket.bind_device(Some(name.as_bytes()))?;
    socket.set_broadcast(true)?;
    Ok(socket)
}

/// Sends a DHCP packet from a bound socket.
///
/// # Errors
/// The socket's.
pub async fn send_bound(socket: &UdpSocket, to: Ipv4Addr, payload: &[u8]) -> io::Result<()> {
    socket.send_to(payload, (to, SERVER_PORT)).await.map(|_| ())
}

/// The next packet to a bound socket.
///
/// # Errors
/// The socket's.
pub async fn receive_bound(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; LARGEST];
    let (length, _) = socket.recv_from(&mut buffer).await?;
    buffer.truncate(length);
    Ok(buffer)
}
