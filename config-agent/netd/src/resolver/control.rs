//! The record socket: owners of records connect, say who they are, and push.

use super::core::Core;
use super::frame::{self, FrameError, Hello, LARGEST, Reply};
use super::records::SessionId;
use crate::explain::chain;
use keelson_daemon::Readable;
use keelson_peer::Peer;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, recv,
    send, socket_with,
};
use serde::Serialize;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;

const BACKLOG: i32 = 16;
/// Time for the first packet.
const HELLO_TIME: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(1);

/// Makes the socket at `path`, for when PID 1 does not pass one.
///
/// # Errors
/// The kernel's.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    let _ = std::fs::remove_file(path);
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Serves owners of records. Never ends.
///
/// # Errors
/// The socket cannot be watched.
pub async fn run(core: Rc<Core>, listener: OwnedFd) -> io::Result<()> {
    rustix::io::ioctl_fionbio(&listener, true)?;
    let listener = Readable::watch(&listener)?;
    loop {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match listener.read(|fd| accept_with(fd, flags)).await {
            Ok(connection) if is_trusted(connection.as_fd()) => {
                let core = Rc::clone(&core);
                spawn_local(async move {
                    if let Err(error) = serve(&core, &connection).await {
                        log::info!(error:% = chain(&error); "owner of records gone");
                    }
                });
            }
            Ok(_) => log::warn!("owner of records refused: neither root nor this service's user, or in a container"),
            Err(error) => {
                log::warn!(error:%; "owner of records not accepted");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// The socket's mode lets in root only; a mistake there must not be enough. And root of a container is uid 0 too, so
/// where the caller runs counts as well.
fn is_trusted(connection: BorrowedFd<'_>) -> bool {
    Peer::of(&connection).is_ok_and(|peer| {
        let known = peer.user == 0 || peer.user == rustix::process::geteuid().as_raw();
        known && !peer.is_in_container()
    })
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum EndError {
    #[error("cannot read or write")]
    Io(#[from] io::Error),
    #[error("not understood")]
    Frame(#[from] FrameError),
    #[error("no first packet in time")]
    Late,
}

async fn serve(core: &Core, connection: &OwnedFd) -> Result<(), EndError> {
    let readable = Readable::watch(connection)?;
    let first = tokio::time::timeout(HELLO_TIME, read(&readable))
        .await
        .map_err(|_| EndError::Late)??;
    let Some(first) = first else { return Ok(()) };
    let hello = frame::parse_hello(&first)?;
    write(&readable, &Hello::ours())?;
    log::info!(session:? = hello.session; "owner of records connected");
    let session = core.open_session(hello.session);
    let outcome = serve_requests(core, &readable, session).await;
    core.close_session(session);
    outcome
}

async fn serve_requests(core: &Core, readable: &Readable, session: SessionId) -> Result<(), EndError> {
    while let Some(packet) = read(readable).await? {
        let request = frame::parse_request(&packet)?;
        let error = core.apply(session, request.body).err().map(|error| error.to_string());
        if let Some(error) = &error {
            log::warn!(error; "request of an owner of records refused");
        }
        write(readable, &Reply { id: request.id, error })?;
    }
    Ok(())
}

/// The next packet; None at the end.
async fn read(readable: &Readable) -> Result<Option<Vec<u8>>, EndError> {
    let mut buffer = vec![0; LARGEST];
    let (_, real) = readable
        .read(|fd| recv(fd, buffer.as_mut_slice(), RecvFlags::TRUNC))
        .await?;
    if real > LARGEST {
        return Err(FrameError::Long.into());
    }
    buffer.truncate(real);
    Ok((real > 0).then_some(buffer))
}

/// Writes without waiting: an owner that does not read its answers is cut off.
fn write(readable: &Readable, frame: &impl Serialize) -> Result<(), EndError> {
    let bytes = serde_json::to_vec(frame).map_err(FrameError::Syntax)?;
    send(readable.as_fd(), &bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
        .map(|_| ())
        .map_err(|errno: Errno| EndError::Io(errno.into()))
}
