//! A stream socket that carries frames and descriptors, blocking or not.
//!
//! Descriptors ride on the first byte of the frame that names their number (`fds`), so they queue up in frame order.
//! On a non-blocking socket `receive` and `send` return `WouldBlock` as an I/O error and lose nothing: a tokio user
//! wraps [`Channel::fill`] in `async_io` (see `docs/formats/shim.md`).

use crate::frame::{Decoder, FrameError, encode};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most descriptors one message carries.
pub const MAX_FDS: usize = 8;
/// Descriptors kept unclaimed before the peer is taken for broken.
const MAX_QUEUED_FDS: usize = 64;

/// What can go wrong on a channel.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The socket failed; `WouldBlock` on a non-blocking one only means later.
    #[error("shim socket failed")]
    Socket {
        /// The errno.
        #[source]
        source: std::io::Error,
    },
    /// The peer sent something that is no frame of ours.
    #[error("bad frame on the shim socket")]
    Frame {
        /// Why.
        #[source]
        source: FrameError,
    },
    /// The peer closed the connection.
    #[error("shim socket closed by the peer")]
    Closed,
    /// A message announced more descriptors than arrived, or too many arrived.
    #[error("descriptors on the shim socket do not match their message")]
    Descriptors,
}

impl ChannelError {
    /// Whether it only means: try again when the socket is ready.
    pub fn is_would_block(&self) -> bool {
        matches!(self, Self::Socket { source } if source.kind() == std::io::ErrorKind::WouldBlock)
    }
}

/// Frames and descriptors over one stream socket, plus the bytes and descriptors that came but were not asked for yet.
#[derive(Debug)]
pub struct Channel<S> {
    socket: S,
    decoder: Decoder,
    fds: VecDeque<OwnedFd>,
    unsent: VecDeque<Unsent>,
}

/// A message on its way: its descriptors go with its first byte.
#[derive(Debug)]
struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<OwnedFd>,
}

impl<S: AsFd> Channel<S> {
    /// Over a connected `AF_UNIX` stream socket (any type that lends its descriptor).
    pub fn new(socket: S) -> Self {
        Self {
            socket,
            decoder: Decoder::default(),
            fds: VecDeque::new(),
            unsent: VecDeque::new(),
        }
    }

    /// Goes on where another copy of the program stopped, with the bytes it had read ([`Channel::unread`]).
    pub fn resume(socket: S, unread: &[u8]) -> Self {
        let mut channel = Self::new(socket);
        channel.decoder.push(unread);
        channel
    }

    /// Bytes that were read and not taken out.
    pub fn unread(&self) -> &[u8] {
        self.decoder.held()
    }

    /// The socket.
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// Sends a message with descriptors on its first byte. What a non-blocking socket does not take is kept, with copies
    /// of the descriptors: see [`Channel::flush`].
    pub fn send<T: Serialize>(&mut self, message: &T, fds: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        let bytes = encode(message).map_err(|source| ChannelError::Frame { source })?;
        if fds.len() > MAX_FDS {
            return Err(ChannelError::Descriptors);
        }
        let fds = fds.iter().map(BorrowedFd::try_clone_to_owned).collect::<Result<_, _>>();
        let fds = fds.map_err(|source| ChannelError::Socket { source })?;
        self.unsent.push_back(Unsent { bytes, sent: 0, fds });
        match self.flush() {
            Err(error) if error.is_would_block() => Ok(()),
            other => other,
        }
    }

    /// Sends what is left of earlier messages; `WouldBlock` if some still is.
    pub fn flush(&mut self) -> Result<(), ChannelError> {
        while let Some(next) = self.unsent.front_mut() {
            let rest = next.bytes.get(next.sent..).unwrap_or_default();
            let fds: Vec<BorrowedFd<'_>> = next.fds.iter().map(AsFd::as_fd).collect();
            next.sent += send_some(self.socket.as_fd(), rest, &fds)?;
            next.fds.clear();
            if next.sent >= next.bytes.len() {
                self.unsent.pop_front();
            }
        }
        Ok(())
    }

    /// Bytes [`Channel::flush`] has still to send.
    pub fn unsent_bytes(&self) -> usize {
        self.unsent
            .iter()
            .map(|unsent| unsent.bytes.len().saturating_sub(unsent.sent))
            .sum()
    }

    /// Reads once from the socket into the buffers.
    pub fn fill(&mut self) -> Result<(), ChannelError> {
        let mut bytes = [0_u8; 16 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = loop {
            let mut into = [IoSliceMut::new(&mut bytes)];
            match recvmsg(self.socket.as_fd(), &mut into, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                Err(errno) => return Err(ChannelError::Socket { source: errno.into() }),
                Ok(got) => break got.bytes,
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        if self.fds.len() > MAX_QUEUED_FDS {
            return Err(ChannelError::Descriptors);
        }
        if got == 0 {
            return Err(ChannelError::Closed);
        }
        self.decoder.push(bytes.get(..got).unwrap_or_default());
        Ok(())
    }

    /// A message already in the buffers.
    pub fn buffered<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ChannelError> {
        self.decoder
            .next_message()
            .map_err(|source| ChannelError::Frame { source })
    }

    /// The next message, reading as often as needed.
    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<T, ChannelError> {
        loop {
            if let Some(message) = self.buffered()? {
                return Ok(message);
            }
            self.fill()?;
        }
    }

    /// Takes the descriptors a message announced.
    pub fn take_fds(&mut self, count: usize) -> Result<Vec<OwnedFd>, ChannelError> {
        if count > self.fds.len() {
            return Err(ChannelError::Descriptors);
        }
        Ok(self.fds.drain(..count).collect())
    }
}

fn send_some(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, ChannelError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(ChannelError::Descriptors);
    }
    loop {
        match sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(ChannelError::Socket { source: errno.into() }),
            Ok(sent) => return Ok(sent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Hello;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_come_with_their_message() {
        let (a, b) = UnixStream::pair().unwrap();
        let (mut a, mut b) = (Channel::new(a), Channel::new(b));
        let (mut reader, writer) = std::io::pipe().unwrap();
        a.send(&Hello::ours(), &[]).unwrap();
        a.send(&Hello::ours(), &[writer.as_fd()]).unwrap();
        drop(writer);
        let first: Hello = b.receive().unwrap();
        assert!(first.is_compatible());
        let _: Hello = b.receive().unwrap();
        let mut fds = b.take_fds(1).unwrap();
        assert!(b.take_fds(1).is_err());
        rustix::io::write(fds.pop().unwrap(), b"x").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }

    #[test]
    fn a_full_socket_loses_nothing() {
        let (a, b) = UnixStream::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        let (mut a, mut b) = (Channel::new(a), Channel::new(b));
        let long = Hello {
            protocol: "x".repeat(1 << 20),
            version: 7,
        };
        a.send(&long, &[]).unwrap();
        a.send(&Hello::ours(), &[]).unwrap();
        assert!(a.unsent_bytes() > 0 && a.flush().unwrap_err().is_would_block());
        let reader = std::thread::spawn(move || (b.receive::<Hello>().unwrap(), b.receive::<Hello>().unwrap()));
        while a.unsent_bytes() > 0 {
            let _ = a.flush();
            std::thread::yield_now();
        }
        let (first, second) = reader.join().unwrap();
        assert_eq!((first.version, second), (7, Hello::ours()));
    }
}
