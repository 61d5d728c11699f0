//! One connection of an engine.

use keelson_shim_api::{Channel, ChannelError, Hello, Notice, Outcome, Packet, Request};
use keelson_sys::handover::leave_open;
use keelson_sys::spawn::take_left_open;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Bytes a connection may leave unread before it is closed.
const MOST_UNSENT: usize = 8 << 20;

/// A connection, from its hello on.
#[derive(Debug)]
pub struct Client {
    /// Names it among all there were.
    pub id: u64,
    channel: Channel<UnixStream>,
    is_greeted: bool,
    is_subscribed: bool,
}

/// What came of reading a connection.
#[derive(Debug)]
pub enum Received {
    /// A request.
    Request(Request),
    /// Nothing (more) at the moment.
    Nothing,
    /// It is over.
    Closed,
}

/// One as it is left to a new copy.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeptClient {
    id: u64,
    socket: i32,
    unread: Vec<u8>,
    is_greeted: bool,
    is_subscribed: bool,
}

impl Client {
    /// Leaves it to a new copy. Nothing may be unsent.
    pub fn keep(&self) -> io::Result<KeptClient> {
        Ok(KeptClient {
            id: self.id,
            socket: leave_open(self.channel.socket())?,
            unread: self.channel.unread().to_vec(),
            is_greeted: self.is_greeted,
            is_subscribed: self.is_subscribed,
        })
    }

    /// Takes it up; `None` if it was not left.
    pub fn resume(kept: KeptClient) -> Option<Self> {
        let socket = UnixStream::from(take_left_open(kept.socket)?);
        Some(Self {
            id: kept.id,
            channel: Channel::resume(socket, &kept.unread),
            is_greeted: kept.is_greeted,
            is_subscribed: kept.is_subscribed,
        })
    }

    /// Greets a new connection; `None` if it is gone already.
    pub fn greet(id: u64, socket: UnixStream) -> Option<Self> {
        socket.set_nonblocking(true).ok()?;
        let mut channel = Channel::new(socket);
        channel.send(&Hello::ours(), &[]).ok()?;
        Some(Self {
            id,
            channel,
            is_greeted: false,
            is_subscribed: false,
        })
    }

    /// Its socket.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.channel.socket().as_fd()
    }

    /// Whether to wait until it can be written.
    pub fn has_unsent(&self) -> bool {
        self.channel.unsent_bytes() > 0
    }

    /// Reads what has come, once.
    pub fn fill(&mut self) -> Result<(), ChannelError> {
        match self.channel.fill() {
            Err(error) if error.is_would_block() => Ok(()),
            other => other,
        }
    }

    /// The next request read.
    pub fn next(&mut self) -> Received {
        if !self.is_greeted {
            match self.channel.buffered::<Hello>() {
                Ok(None) => return Received::Nothing,
                Ok(Some(hello)) if hello.is_compatible() => self.is_greeted = true,
                _ => return Received::Closed,
            }
        }
        match self.channel.buffered() {
            Ok(Some(request)) => Received::Request(request),
            Ok(None) => Received::Nothing,
            Err(_) => Received::Closed,
        }
    }

    /// Sends an outcome; false if the connection is over.
    pub fn answer(&mut self, id: u64, outcome: Outcome, fds: &[OwnedFd]) -> bool {
        let packet = Packet::Outcome {
            id,
            fds: u8::try_from(fds.len()).unwrap_or(u8::MAX),
            outcome,
        };
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        self.channel.send(&packet, &fds).is_ok() && self.channel.unsent_bytes() <= MOST_UNSENT
    }

    /// Asks for notices.
    pub fn subscribe(&mut self) {
        self.is_subscribed = true;
    }

    /// Sends a notice if it asked for them; false if the connection is over.
    pub fn notify(&mut self, notice: &Notice) -> bool {
        !self.is_subscribed
            || self
                .channel
                .send(&Packet::Notice { notice: notice.clone() }, &[])
                .is_ok()
                && self.channel.unsent_bytes() <= MOST_UNSENT
    }

    /// Sends what is left; false if the connection is over.
    pub fn flush(&mut self) -> bool {
        match self.channel.flush() {
            Err(error) => error.is_would_block(),
            Ok(()) => true,
        }
    }
}
