//! The control socket: packets in, packets out. Who may ask is decided once per connection from the peer's control
//! group, never from its user number alone. A peer that does not read is dropped: PID 1 neither waits nor hoards.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use keelson_manager_api::{Hello, MAX_FRAME, Refusal, Reply, ReplyFrame, Request, RequestFrame, frame};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use super::authority;
use super::cgroup::Groups;
use crate::accounts;
use crate::manager::{Authority, Connection, Manager};

/// More are turned away.
const MOST_CONNECTIONS: usize = 64;
/// Those who may do nothing get a refusal, but never all the places.
const MOST_OUTSIDERS: usize = 16;
/// Packets of one connection served in one turn.
const PACKETS_PER_TURN: usize = 16;

/// The listening socket and its connections.
#[derive(Debug)]
pub struct Control {
    listener: OwnedFd,
    peers: BTreeMap<u32, Peer>,
    next: u32,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Peer {
    socket: OwnedFd,
    authority: Authority,
    unit: Option<String>,
    greeted: bool,
}

/// A connection as it is handed to a new copy of PID 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    number: u32,
    descriptor: i32,
    authority: Authority,
    #[serde(default)]
    unit: Option<String>,
    greeted: bool,
}

/// What a turn of a connection brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A request.
    Request(RequestFrame),
    /// The connection has ended or was ended.
    Closed,
}

impl Control {
    /// Makes the socket at `path`, for root and the group of the operators' agent.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn listen(path: &Path) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        super::sockets::bind(&listener, path, 0o660)?;
        let group = fs::read_to_string("/etc/group").unwrap_or_default();
        if let Ok((_, gid)) = accounts::owner("", &group, "root:access") {
            std::os::unix::fs::chown(path, None, Some(gid))?;
        }
        rustix::net::listen(&listener, 64)?;
        Ok(Self::with(listener))
    }

    fn with(listener: OwnedFd) -> Self {
        Control {
            listener,
            peers: BTreeMap::new(),
            next: 0,
            buffer: vec![0; MAX_FRAME + 1],
        }
    }

    /// The descriptor that is readable when somebody connects.
    #[must_use]
    pub fn listener(&self) -> &OwnedFd {
        &self.listener
    }

    /// Numbers and descriptors of all connections.
    pub fn connections(&self) -> impl Iterator<Item = (u32, &OwnedFd)> {
        self.peers.iter().map(|(number, peer)| (*number, &peer.socket))
    }

    /// Accepts one connection and greets it; gives its number and descriptor.
    pub fn accept(&mut self, groups: &Groups, manager: &Manager) -> Option<(u32, &OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::accept_with(&self.listener, flags).ok()?;
        let authority::Known { authority, unit } = authority::known(&socket, groups, manager);
        let outsiders = self
            .peers
            .values()
            .filter(|peer| peer.authority == Authority::Nothing)
            .count();
        let full = authority == Authority::Nothing && outsiders >= MOST_OUTSIDERS;
        if full || self.peers.len() >= MOST_CONNECTIONS {
            log::warn!("control connection turned away: there are already {}", self.peers.len());
            return None;
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let peer = Peer {
            socket,
            authority,
            unit,
            greeted: false,
        };
        let greeted = frame::encode(&Hello::ours()).is_ok_and(|packet| peer.send(&packet));
        if !greeted || self.peers.contains_key(&number) {
            return None;
        }
        self.peers.insert(number, peer);
        self.peers.get(&number).map(|peer| (number, &peer.socket))
    }

    /// What the connection may do.
    #[must_use]
    pub fn authority(&self, number: u32) -> Authority {
        self.peers
            .get(&number)
            .map_or(Authority::Nothing, |peer| peer.authority)
    }

    /// The unit at the other end.
    #[must_use]
    pub fn unit(&self, number: u32) -> Option<&str> {
        self.peers.get(&number)?.unit.as_deref()
    }

    /// Reads what a connection has sent.
    pub fn receive(&mut self, number: u32) -> Vec<Received> {
        let mut received = Vec::new();
        for _ in 0..PACKETS_PER_TURN {
            let Some(peer) = self.peers.get_mut(&number) else { break };
            match rustix::net::recv(&peer.socket, &mut self.buffer, RecvFlags::DONTWAIT) {
                Ok((_, length)) if length > 0 => {
                    let packet = self.buffer.get(..length).unwrap_or_default();
                    match peer.take(packet) {
                        Ok(request) => received.extend(request.map(Received::Request)),
                        Err(Closing) => {
                            received.push(Received::Closed);
                            break;
                        }
                    }
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => break,
                _ => {
                    received.push(Received::Closed);
                    break;
                }
            }
        }
        if received.contains(&Received::Closed) {
            self.peers.remove(&number);
        }
        received
    }

    /// Sends a message; `false` if the connection had to be dropped.
    pub fn send<T: Serialize>(&mut self, connection: Connection, message: &T) -> bool {
        let Ok(number) = u32::try_from(connection.0) else {
            return true;
        };
        let Some(peer) = self.peers.get(&number) else {
            return true;
        };
        let sent = frame::encode(message).is_ok_and(|packet| peer.send(&packet));
        if !sent {
            log::info!("control connection dropped: it does not read");
            self.peers.remove(&number);
        }
        sent
    }

    /// Sends a reply; one that does not fit is replaced by a refusal.
    pub fn reply(&mut self, connection: Connection, id: u64, reply: Reply) -> bool {
        let reply = ReplyFrame { id, reply };
        if frame::encode(&reply).is_ok() {
            return self.send(connection, &reply);
        }
        let reply = refusal(Refusal::TooLarge, "the answer does not fit into a packet");
        self.send(connection, &ReplyFrame { id, reply })
    }

    /// What a new copy of PID 1 needs to go on: the listener, the connections, and the next number.
    #[must_use]
    pub fn keep(&self) -> (i32, Vec<Kept>, u32) {
        let kept = self.peers.iter().map(|(number, peer)| Kept {
            number: *number,
            descriptor: peer.socket.as_raw_fd(),
            authority: peer.authority,
            unit: peer.unit.clone(),
            greeted: peer.greeted,
        });
        (self.listener.as_raw_fd(), kept.collect(), self.next)
    }

    /// Goes on with what [`Control::keep`] gave; `take` turns numbers back into descriptors.
    pub fn resume(listener: OwnedFd, kept: Vec<Kept>, next: u32, take: impl Fn(i32) -> Option<OwnedFd>) -> Self {
        let mut control = Self::with(listener);
        control.next = next;
        for Kept {
            number,
            descriptor,
            authority,
            unit,
            greeted,
        } in kept
        {
            if let Some(socket) = take(descriptor) {
                control.peers.insert(
                    number,
                    Peer {
                        socket,
                        authority,
                        unit,
                        greeted,
                    },
                );
            }
        }
        control
    }
}

/// The connection cannot go on.
struct Closing;

impl Peer {
    fn take(&mut self, packet: &[u8]) -> Result<Option<RequestFrame>, Closing> {
        if !self.greeted {
            let hello: Hello = frame::decode(packet).map_err(|_| Closing)?;
            self.greeted = hello.is_compatible();
            return if self.greeted { Ok(None) } else { Err(Closing) };
        }
        match parse_request(packet) {
            Ok(request) => Ok(Some(request)),
            Err(Malformed { id: Some(id) }) => {
                let reply = refusal(Refusal::Malformed, "not a request of this version of the protocol");
                let packet = frame::encode(&ReplyFrame { id, reply }).map_err(|_| Closing)?;
                if self.send(&packet) { Ok(None) } else { Err(Closing) }
            }
            Err(Malformed { id: None }) => Err(Closing),
        }
    }

    fn send(&self, packet: &[u8]) -> bool {
        rustix::net::send(&self.socket, packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_ok()
    }
}

/// A packet that is no request; with an id it can at least be answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    id: Option<u64>,
}

/// Parses the packet of a greeted connection.
///
/// # Errors
/// [`Malformed`].
pub fn parse_request(packet: &[u8]) -> Result<RequestFrame, Malformed> {
    #[derive(Deserialize)]
    struct OnlyId {
        id: u64,
    }
    frame::decode(packet).map_err(|_| Malformed {
        id: frame::decode::<OnlyId>(packet).ok().map(|only| only.id),
    })
}

fn refusal(refusal: Refusal, message: &str) -> Reply {
    Reply::Refused {
        refusal,
        message: message.to_owned(),
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// What a request is called in the log.
#[must_use]
pub fn describe(request: &Request) -> String {
    match request {
        Request::List => "list".to_owned(),
        Request::Subscribe => "subscribe".to_owned(),
        Request::Reboot { .. } => "reboot".to_owned(),
        Request::PowerOff { .. } => "power-off".to_owned(),
        Request::Reexec => "reexec".to_owned(),
        Request::Status { unit } => format!("status {unit}"),
        Request::Start { unit } => format!("start {unit}"),
        Request::Stop { unit } => format!("stop {unit}"),
        Request::Restart { unit } => format!("restart {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn malformed_requests_are_answered_if_they_have_an_id() {
        assert_eq!(
            parse_request(b"{\"id\":4,\"request\":\"dance\"}"),
            Err(Malformed { id: Some(4) })
        );
        assert_eq!(parse_request(b"[]"), Err(Malformed { id: None }));
        assert!(parse_request(b"{\"id\":4,\"request\":\"list\"}").is_ok());
    }

    proptest! {
        #[test]
        fn any_packet_is_parsed_without_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_request(&data);
        }
    }
}
