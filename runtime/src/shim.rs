//! The engine's side of a shim: a task that holds the connection, hands out requests and reports the
//! container's end. Knows the protocol; knows nothing of Docker or of the state machine.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use keelson_shim_api::{
    Channel, ChannelError, ExitRecord, Failure, Hello, Outcome, Packet, Request, RequestBody, ShimState, Streams,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use crate::engine::container::Ending;

/// Why a shim did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// Nobody listens.
    #[error("cannot connect to the shim at {}", path.display())]
    Connect {
        /// Its socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The conversation broke.
    #[error("conversation with the shim broke")]
    Channel(#[from] ChannelError),
    /// It speaks something else.
    #[error("the shim speaks {protocol} version {version}")]
    Protocol {
        /// Its protocol.
        protocol: String,
        /// Its version.
        version: u32,
    },
    /// It said no.
    #[error("{}", .0.message)]
    Failed(Failure),
    /// It has ended.
    #[error("the shim has ended")]
    Gone,
}

type Answer = Result<(Outcome, Vec<OwnedFd>), ShimError>;

struct Call {
    body: RequestBody,
    answer: oneshot::Sender<Answer>,
}

/// A way to ask one shim. Cheap to clone; the connection closes with the last one.
#[derive(Debug, Clone)]
pub struct Shim {
    calls: mpsc::Sender<Call>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.body.fmt(f)
    }
}

impl Shim {
    /// Connects to the socket of a shim and starts the task that serves the connection.
    ///
    /// # Errors
    /// Nobody listens, or it speaks something else.
    pub async fn connect(path: &Path) -> Result<Shim, ShimError> {
        let failed = |source| ShimError::Connect {
            path: path.to_owned(),
            source,
        };
        let socket = UnixStream::connect(path).await.map_err(failed)?;
        let mut channel = Channel::new(socket);
        channel.send(&Hello::ours(), &[])?;
        let theirs: Hello = receive(&mut channel).await?;
        if !theirs.is_compatible() {
            let Hello { protocol, version } = theirs;
            return Err(ShimError::Protocol { protocol, version });
        }
        let (calls, queue) = mpsc::channel(16);
        tokio::spawn(serve(channel, queue));
        Ok(Shim { calls })
    }

    /// Asks, and waits for the outcome and its descriptors.
    ///
    /// # Errors
    /// The shim refused or is gone.
    pub async fn call(&self, body: RequestBody) -> Answer {
        let (answer, outcome) = oneshot::channel();
        self.calls
            .send(Call { body, answer })
            .await
            .map_err(|_| ShimError::Gone)?;
        match outcome.await.map_err(|_| ShimError::Gone)?? {
            (Outcome::Failed { failure }, _) => Err(ShimError::Failed(failure)),
            done => Ok(done),
        }
    }

    /// Sends a signal to the first process, or to every process.
    ///
    /// # Errors
    /// As [`Shim::call`].
    pub async fn kill(&self, signal: i32, all: bool) -> Result<(), ShimError> {
        self.call(RequestBody::Kill {
            process: None,
            signal,
            all,
        })
        .await
        .map(|_| ())
    }

    /// Where the container stands.
    ///
    /// # Errors
    /// As [`Shim::call`].
    pub async fn state(&self) -> Result<ShimState, ShimError> {
        match self.call(RequestBody::State).await? {
            (Outcome::State { state }, _) => Ok(state),
            _ => Err(ShimError::Gone),
        }
    }

    /// Waits for the end of the first process, or of an exec.
    ///
    /// # Errors
    /// As [`Shim::call`]; the shim may have died.
    pub async fn wait(&self, process: Option<String>) -> Result<ExitRecord, ShimError> {
        match self.call(RequestBody::Wait { process }).await? {
            (Outcome::Exited { exit }, _) => Ok(exit),
            _ => Err(ShimError::Gone),
        }
    }

    /// Joins someone to the first process's streams. Whoever it is may have gone meanwhile; a failure shows as the
    /// end of the promise.
    pub async fn join(&self, joining: Joining) {
        let Joining {
            streams,
            close_stdin,
            ends,
        } = joining;
        match self.call(RequestBody::Attach { streams, close_stdin }).await {
            Ok((_, fds)) => {
                let _ = ends.send(Ends::new(streams, fds));
            }
            Err(error) => {
                let error = crate::engine::error::chain(&error);
                log::warn!(error = error; "a client cannot be attached");
            }
        }
    }
}

/// Someone who waits to be joined to a container's streams.
#[derive(Debug)]
pub struct Joining {
    /// Which.
    pub streams: Streams,
    /// The end of the client's input is the end of the process's.
    pub close_stdin: bool,
    /// Where the ends go.
    pub ends: oneshot::Sender<Ends>,
}

/// Our ends of a process's streams.
#[derive(Debug, Default)]
pub struct Ends {
    /// To be written.
    pub stdin: Option<OwnedFd>,
    /// To be read; a terminal's only one.
    pub stdout: Option<OwnedFd>,
    /// To be read.
    pub stderr: Option<OwnedFd>,
}

impl Ends {
    /// From descriptors in the protocol's order.
    pub fn new(wanted: Streams, fds: Vec<OwnedFd>) -> Ends {
        let mut fds = fds.into_iter();
        let mut take = |wanted: bool| if wanted { fds.next() } else { None };
        Ends {
            stdin: take(wanted.stdin),
            stdout: take(wanted.stdout),
            stderr: take(wanted.stderr),
        }
    }
}

/// Serves one connection until the shim closes it or the last [`Shim`] is dropped.
async fn serve(mut channel: Channel<UnixStream>, mut queue: mpsc::Receiver<Call>) {
    let mut waiting: HashMap<u64, oneshot::Sender<Answer>> = HashMap::new();
    let mut next_id = 1u64;
    loop {
        tokio::select! {
            call = queue.recv() => {
                let Some(Call { body, answer }) = call else { return };
                let id = next_id;
                next_id = next_id.wrapping_add(1);
                if let Err(error) = send(&mut channel, &Request { id, body }).await {
                    let _ = answer.send(Err(error));
                    return;
                }
                waiting.insert(id, answer);
            }
            packet = receive::<Packet>(&mut channel) => match packet {
                Ok(Packet::Outcome { id, fds, outcome }) => {
                    let fds = channel.take_fds(usize::from(fds)).unwrap_or_default();
                    if let Some(answer) = waiting.remove(&id) {
                        let _ = answer.send(Ok((outcome, fds)));
                    }
                }
                Ok(Packet::Notice { .. }) => {}
                // Whoever waits learns it from the dropped sender.
                Err(_) => return,
            },
        }
    }
}

/// Cancel-safe: what was read stays in the channel's buffer.
async fn receive<T: serde::de::DeserializeOwned>(channel: &mut Channel<UnixStream>) -> Result<T, ShimError> {
    loop {
        if let Some(message) = channel.buffered()? {
            return Ok(message);
        }
        match channel.fill() {
            Ok(()) => continue,
            Err(error) if error.is_would_block() => {}
            Err(error) => return Err(error.into()),
        }
        ready(channel.socket(), Interest::READABLE, PollFlags::IN).await?;
    }
}

async fn send(channel: &mut Channel<UnixStream>, request: &Request) -> Result<(), ShimError> {
    channel.send(request, &[])?;
    loop {
        match channel.flush() {
            Ok(()) => return Ok(()),
            Err(error) if error.is_would_block() => {}
            Err(error) => return Err(error.into()),
        }
        ready(channel.socket(), Interest::WRITABLE, PollFlags::OUT).await?;
    }
}

/// Waits until the socket can be read or written. The runtime's idea of that is refreshed by asking
/// the kernel, as the channel reads and writes past it.
async fn ready(socket: &UnixStream, interest: Interest, flags: PollFlags) -> Result<(), ChannelError> {
    let ask = || {
        let mut polled = [PollFd::from_borrowed_fd(socket.as_fd(), flags)];
        match poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? {
            0 => Err(std::io::ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    };
    socket
        .async_io(interest, ask)
        .await
        .map_err(|source| ChannelError::Socket { source })
}

/// The end of a run as the state machine takes it.
pub fn ending(exit: &ExitRecord) -> Ending {
    Ending {
        code: exit.code,
        oom_killed: exit.oom_killed,
        at: timestamp(exit.finished_at),
    }
}

/// The moment `nanoseconds` after 1970.
pub fn timestamp(nanoseconds: u64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default()
}

/// What a shim that is gone wrote down about the end of its container.
pub fn read_exit_file(path: &Path) -> Option<ExitRecord> {
    let bytes = std::fs::read(path).ok()?;
    serde_json::from_slice(&bytes)
        .inspect_err(|error| {
            let (path, error) = (path.display(), error.to_string());
            log::warn!(path:% = path, error = error; "an exit record cannot be read");
        })
        .ok()
}
