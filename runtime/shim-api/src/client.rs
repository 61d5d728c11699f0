//! A blocking client: one connection, one request at a time (`Wait` blocks until the process ends).
//!
//! A caller that needs many outstanding requests uses [`crate::Channel`] with its own ids.

use crate::channel::{Channel, ChannelError};
use crate::message::{Failure, Hello, Outcome, Packet, Request, RequestBody};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// What can go wrong for a client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("cannot connect to the shim at {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The errno.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("conversation with the shim broke")]
    Channel {
        /// How.
        #[source]
        source: ChannelError,
    },
    /// The peer speaks something else.
    #[error("peer speaks {protocol} version {version}")]
    Protocol {
        /// Its protocol.
        protocol: String,
        /// Its version.
        version: u32,
    },
    /// The shim refused or failed.
    #[error("{}", failure.message)]
    Failed {
        /// Why.
        failure: Failure,
    },
}

impl From<ChannelError> for ClientError {
    fn from(source: ChannelError) -> Self {
        Self::Channel { source }
    }
}

/// A connection on which hellos have been exchanged.
#[derive(Debug)]
pub struct Client {
    channel: Channel<UnixStream>,
    next_id: u64,
    notices: VecDeque<crate::message::Notice>,
}

impl Client {
    /// Connects to a shim's socket.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let socket = UnixStream::connect(path).map_err(|source| ClientError::Connect {
            path: path.to_owned(),
            source,
        })?;
        Self::over(socket)
    }

    /// Over a connected blocking socket; exchanges hellos.
    pub fn over(socket: UnixStream) -> Result<Self, ClientError> {
        let mut channel = Channel::new(socket);
        channel.send(&Hello::ours(), &[])?;
        let theirs: Hello = channel.receive()?;
        if !theirs.is_compatible() {
            return Err(ClientError::Protocol {
                protocol: theirs.protocol,
                version: theirs.version,
            });
        }
        Ok(Self {
            channel,
            next_id: 1,
            notices: VecDeque::new(),
        })
    }

    /// Asks, and waits for the outcome with its descriptors. A `Failed` outcome is an error.
    pub fn call(&mut self, body: RequestBody) -> Result<(Outcome, Vec<OwnedFd>), ClientError> {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.channel.send(&Request { id, body }, &[])?;
        loop {
            match self.channel.receive()? {
                Packet::Notice { notice } => self.notices.push_back(notice),
                Packet::Outcome {
                    id: answered,
                    fds,
                    outcome,
                } => {
                    let fds = self.channel.take_fds(usize::from(fds))?;
                    match outcome {
                        _ if answered != id => {}
                        Outcome::Failed { failure } => return Err(ClientError::Failed { failure }),
                        outcome => return Ok((outcome, fds)),
                    }
                }
            }
        }
    }

    /// The next notice, waiting for it. Only after `Subscribe`.
    pub fn notice(&mut self) -> Result<crate::message::Notice, ClientError> {
        if let Some(notice) = self.notices.pop_front() {
            return Ok(notice);
        }
        loop {
            if let Packet::Notice { notice } = self.channel.receive()? {
                return Ok(notice);
            }
        }
    }
}
