//! Who is at the other end of a connection: by its cgroup, never by its user id alone. A process of
//! a container may be uid 0; that makes it no operator.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::sys::socket::{getsockopt, sockopt};

use crate::engine::id::ContainerId;

/// Label by which a container is given the engine's socket. Whoever may set it may do anything.
pub const GRANT: &str = "io.keelson.grant";
/// Its value for the engine's socket.
pub const GRANT_ENGINE: &str = "engine";

/// The other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A process of the machine itself.
    Machine,
    /// A process of this container.
    Container(ContainerId),
    /// A process in a cgroup of containers that names none.
    Unknown,
}

/// Finds out by a descriptor of the process, so that its number cannot have been reused meanwhile.
///
/// # Errors
/// The kernel does not say; nothing may be granted then.
pub fn find_peer(socket: &impl AsFd) -> io::Result<Peer> {
    let pidfd = getsockopt(socket, sockopt::PeerPidfd)?;
    let info = || fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()));
    let Some(pid) = parse_pid(&info()?) else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the process has ended"));
    };
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    // If it still lives now, what was read was its own.
    if parse_pid(&info()?) != Some(pid) {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the process has ended"));
    }
    Ok(parse_cgroup(&cgroup))
}

/// The `Pid:` line of a pidfd's information; -1 means it has ended.
fn parse_pid(text: &str) -> Option<u32> {
    let value = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    value.trim().parse().ok().filter(|pid| *pid > 0)
}

/// By the unified hierarchy's line `0::/containers/ID/payload`.
fn parse_cgroup(text: &str) -> Peer {
    let Some(path) = text.lines().find_map(|line| line.strip_prefix("0::")) else {
        return Peer::Unknown;
    };
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    if parts.next() != Some("containers") {
        return Peer::Machine;
    }
    match parts.next().map(|id| ContainerId::try_from(id.to_owned())) {
        Some(Ok(id)) => Peer::Container(id),
        _ => Peer::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_tell_who_it_is() {
        let id = "ab".repeat(32);
        let container = Peer::Container(ContainerId::try_from(id.clone()).unwrap());
        let table = [
            (format!("0::/containers/{id}/payload"), container.clone()),
            (format!("1:name=x:/\n0::/containers/{id}/payload/deeper"), container),
            ("0::/containers/nonsense/payload".to_owned(), Peer::Unknown),
            ("0::/containers".to_owned(), Peer::Unknown),
            ("0::/system/access".to_owned(), Peer::Machine),
            ("0::/".to_owned(), Peer::Machine),
            (String::new(), Peer::Unknown),
        ];
        for (text, want) in table {
            assert_eq!(parse_cgroup(&text), want, "{text}");
        }
    }

    #[test]
    fn finds_itself() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(find_peer(&one).unwrap(), Peer::Machine);
    }

    #[test]
    fn a_dead_process_is_nobody() {
        assert_eq!(parse_pid("pos:\t0\nPid:\t42\nNSpid:\t42\n"), Some(42));
        assert_eq!(parse_pid("Pid:\t-1\n"), None);
        assert_eq!(parse_pid(""), None);
    }
}
