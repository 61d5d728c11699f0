//! Who is at the other end of a connection: by its cgroup, never by its user id alone. A process of
//! a container may be uid 0; that makes it no operator.

use std::io;
use std::os::fd::AsFd;

use keelson_peer::{is_of_containers, unified};

use crate::engine::id::ContainerId;

/// Label by which a container is given the engine's socket. Whoever may set it may do anything.
pub const GRANT: &str = "io.keelson.grant";
/// Its value for the engine's socket.
pub const GRANT_ENGINE: &str = "engine";

/// Label by which a container is given the machine's system bus: `read` or `operate`.
pub const GRANT_BUS: &str = "io.keelson.bus";

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

/// Finds out who connected.
///
/// # Errors
/// The kernel does not say; nothing may be granted then.
pub fn find_peer(socket: &impl AsFd) -> io::Result<Peer> {
    keelson_peer::Peer::of(socket).map(|peer| parse_cgroup(&peer.groups))
}

/// By the unified hierarchy's line `0::/containers/ID/payload`.
fn parse_cgroup(text: &str) -> Peer {
    let Some(path) = unified(text) else {
        return Peer::Unknown;
    };
    if !is_of_containers(path) {
        return Peer::Machine;
    }
    let mut parts = path.split('/').filter(|part| !part.is_empty()).skip(1);
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
}
