//! Sockets PID 1 makes and keeps for units: they exist before the service does and outlive its restarts, so that
//! nothing sent meanwhile is lost.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::accounts;
use crate::unit::{Socket, SocketKind};

/// Connections that may wait for a service that restarts; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Makes one socket of a unit: bound, owned, listening, not blocking.
///
/// # Errors
/// What the kernel says, or an owner that does not exist.
pub fn make(socket: &Socket) -> io::Result<OwnedFd> {
    let kind = match socket.kind {
        SocketKind::Stream => SocketType::STREAM,
        SocketKind::Datagram => SocketType::DGRAM,
        SocketKind::Seqpacket => SocketType::SEQPACKET,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let descriptor = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)?;
    if socket.pass_credentials {
        sockopt::set_socket_passcred(&descriptor, true)?;
    }
    if let Some(size) = socket.receive_buffer.and_then(|size| usize::try_from(size).ok()) {
        sockopt::set_socket_recv_buffer_size_force(&descriptor, size)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&descriptor, size))?;
    }
    let path = Path::new(&socket.path);
    bind(&descriptor, path, socket.mode)?;
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let group = fs::read_to_string("/etc/group").unwrap_or_default();
    let (uid, gid) = accounts::owner(&passwd, &group, &socket.owner).map_err(io::Error::other)?;
    chown(path, Some(uid), Some(gid))?;
    if socket.kind != SocketKind::Datagram {
        rustix::net::listen(&descriptor, BACKLOG)?;
    }
    Ok(descriptor)
}

/// Binds to `path` with these permission bits, in place of what an earlier run left there.
///
/// # Errors
/// What the kernel says.
pub fn bind(descriptor: impl AsFd, path: &Path, mode: u32) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    rustix::net::bind(descriptor, &SocketAddrUnix::new(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}
