//! Blocking client for programs that ask PID 1 for something. Never used by PID 1 itself.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use crate::frame::{self, FrameError, MAX_FRAME};
use crate::message::{FromManager, Hello, Notice, Reply, Request, RequestFrame};

/// Why PID 1 could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect to {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the kernel says.
        #[source]
        source: rustix::io::Errno,
    },
    /// The connection broke.
    #[error("cannot exchange packets with the manager")]
    Exchange {
        /// What the kernel says.
        #[source]
        source: rustix::io::Errno,
    },
    /// The manager closed the connection.
    #[error("the manager closed the connection")]
    Closed,
    /// No answer in time.
    #[error("no answer from the manager in time")]
    TimedOut,
    /// The other side does not speak this protocol.
    #[error("the socket answers as {protocol:?} version {version}, not as a manager")]
    Foreign {
        /// What it calls itself.
        protocol: String,
        /// Its version.
        version: u32,
    },
    /// A packet that cannot be used.
    #[error("unusable packet")]
    Frame {
        /// Why.
        #[source]
        source: FrameError,
    },
}

/// One connection to PID 1.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    next_id: u64,
    notices: VecDeque<Notice>,
}

impl Client {
    /// Connects to the socket at `path` and exchanges greetings.
    ///
    /// # Errors
    /// [`ClientError`]: nobody listens, not allowed, or not a manager.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let connect = |source| ClientError::Connect {
            path: path.to_owned(),
            source,
        };
        let address = SocketAddrUnix::new(path).map_err(connect)?;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(connect)?;
        rustix::net::connect(&socket, &address).map_err(connect)?;
        let mut client = Client {
            socket,
            next_id: 1,
            notices: VecDeque::new(),
        };
        client.set_timeout(Some(Duration::from_secs(10)))?;
        client.send(&Hello::ours())?;
        let hello: Hello = frame::decode(&client.receive()?).map_err(|source| ClientError::Frame { source })?;
        if !hello.is_compatible() {
            return Err(ClientError::Foreign {
                protocol: hello.protocol,
                version: hello.version,
            });
        }
        client.set_timeout(None)?;
        Ok(client)
    }

    /// How long the next answer or notice may take; `None` waits for ever.
    ///
    /// # Errors
    /// [`ClientError::Exchange`] if the socket refuses.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<(), ClientError> {
        set_socket_timeout(&self.socket, Timeout::Recv, timeout).map_err(|source| ClientError::Exchange { source })
    }

    /// Asks and waits for the answer. Notices that arrive meanwhile are kept for [`Client::next_notice`].
    ///
    /// # Errors
    /// [`ClientError`] if the connection fails; a refusal is a [`Reply`].
    pub fn request(&mut self, request: Request) -> Result<Reply, ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&RequestFrame { id, request })?;
        loop {
            match self.receive_message()? {
                FromManager::Reply(frame) if frame.id == id => return Ok(frame.reply),
                FromManager::Reply(_) => {}
                FromManager::Notice(notice) => self.notices.push_back(notice),
            }
        }
    }

    /// Asks and does not wait: the answer would only come when the unit is up. What was asked before is dealt with before
    /// what is asked later.
    ///
    /// # Errors
    /// [`ClientError`] if the connection fails.
    pub fn order(&mut self, request: Request) -> Result<(), ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&RequestFrame { id, request })
    }

    /// The next notice, after a [`Request::Subscribe`].
    ///
    /// # Errors
    /// [`ClientError`] if the connection fails or the timeout passes.
    pub fn next_notice(&mut self) -> Result<Notice, ClientError> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Ok(notice);
            }
            if let FromManager::Notice(notice) = self.receive_message()? {
                return Ok(notice);
            }
        }
    }

    fn send<T: serde::Serialize>(&self, message: &T) -> Result<(), ClientError> {
        let packet = frame::encode(message).map_err(|source| ClientError::Frame { source })?;
        rustix::net::send(&self.socket, &packet, SendFlags::NOSIGNAL)
            .map(|_| ())
            .map_err(|source| ClientError::Exchange { source })
    }

    fn receive_message(&self) -> Result<FromManager, ClientError> {
        frame::decode(&self.receive()?).map_err(|source| ClientError::Frame { source })
    }

    fn receive(&self) -> Result<Vec<u8>, ClientError> {
        // One byte more than allowed, so that a packet that is too large is seen and not cut.
        let mut buffer = vec![0; MAX_FRAME + 1];
        let length = loop {
            match rustix::net::recv(&self.socket, &mut buffer, RecvFlags::empty()) {
                Ok((_, length)) => break length,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Err(ClientError::TimedOut),
                Err(rustix::io::Errno::CONNRESET) => return Err(ClientError::Closed),
                Err(source) => return Err(ClientError::Exchange { source }),
            }
        };
        if length == 0 {
            return Err(ClientError::Closed);
        }
        buffer.truncate(length);
        Ok(buffer)
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
