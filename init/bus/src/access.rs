//! Who is at the other end of a connection and what it was granted: by its control group, never by its user number,
//! since root of a container is uid 0 too.

use std::fmt;
use std::os::fd::AsFd;
use std::path::Path;

use keelson_image_layout::BusAccess;
use keelson_peer::{Peer, is_of_containers, unified};

/// A client as it was when it connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// What it may do.
    pub access: BusAccess,
    /// Where it runs.
    pub place: Place,
}

/// Where a client runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the container with this id.
    Container(String),
    /// In this unit.
    Unit(String),
    /// Beside the units.
    Machine,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Container(id) => write!(f, "container {}", id.get(..12).unwrap_or(id)),
            Place::Unit(name) => write!(f, "unit {name}"),
            Place::Machine => f.write_str("the machine"),
        }
    }
}

/// Asks the kernel who connected, and looks up its grant below `grants`. `None` is let in nowhere.
pub fn identify(socket: &impl AsFd, grants: &Path) -> Option<Caller> {
    let peer = Peer::of(socket)
        .inspect_err(|error| log::warn!("cannot tell who connects; it is refused: {error}"))
        .ok()?;
    decide(&peer, |id| {
        let text = std::fs::read_to_string(grants.join(id)).ok()?;
        text.trim().parse().ok()
    })
}

/// The rule. A container may do what it was granted, the machine's own groups as root everything, units may look.
fn decide(peer: &Peer, grant: impl Fn(&str) -> Option<BusAccess>) -> Option<Caller> {
    let path = unified(&peer.groups)?;
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    if is_of_containers(path) {
        let id = parts.nth(1).filter(|id| is_id(id))?;
        let access = grant(id)?;
        let place = Place::Container(id.to_owned());
        return Some(Caller { access, place });
    }
    match (parts.next(), parts.next()) {
        (Some("system"), Some(unit)) => Some(Caller {
            access: BusAccess::Read,
            place: Place::Unit(unit.to_owned()),
        }),
        (None | Some("init"), None) if peer.user == 0 => Some(Caller {
            access: BusAccess::Operate,
            place: Place::Machine,
        }),
        _ => None,
    }
}

/// An id of a container becomes the name of a file.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_comes_from_the_group_and_the_grant() {
        let (reads, operates, none) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
        let grant = |id: &str| match id.chars().next() {
            Some('a') => Some(BusAccess::Read),
            Some('b') => Some(BusAccess::Operate),
            _ => None,
        };
        let table = [
            (format!("0::/containers/{reads}/payload"), 0, Some(BusAccess::Read)),
            (
                format!("0::/containers/{operates}/payload/x"),
                1000,
                Some(BusAccess::Operate),
            ),
            (format!("0::/containers/{none}/payload"), 0, None),
            (format!("0::/containers/../containers/{operates}"), 0, None),
            ("0::/containers/a".into(), 0, None),
            ("0::/containers".into(), 0, None),
            ("0::/system/netd".into(), 903, Some(BusAccess::Read)),
            ("0::/system/runtimed/main".into(), 0, Some(BusAccess::Read)),
            ("0::/".into(), 0, Some(BusAccess::Operate)),
            ("0::/init".into(), 0, Some(BusAccess::Operate)),
            ("0::/".into(), 1000, None),
            ("0::/elsewhere".into(), 0, None),
            ("1:name=x:/".into(), 0, None),
            (String::new(), 0, None),
        ];
        for (groups, user, expected) in table {
            let peer = Peer {
                groups: groups.clone(),
                user,
            };
            assert_eq!(
                decide(&peer, grant).map(|caller| caller.access),
                expected,
                "{groups} {user}"
            );
        }
    }

    #[test]
    fn a_place_is_named_shortly() {
        assert_eq!(Place::Container("a".repeat(64)).to_string(), "container aaaaaaaaaaaa");
    }
}
