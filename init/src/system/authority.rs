//! Who may ask PID 1 for what: decided from the control group of the peer, never from its user number alone, since a
//! container's root is uid 0 too.

use std::os::fd::OwnedFd;

use keelson_peer::Peer;

use super::cgroup::{Groups, Place};
use crate::manager::{Authority, Manager};

/// Who is at the other end of a connection.
pub(super) struct Known {
    /// What it may do.
    pub authority: Authority,
    /// The unit it belongs to.
    pub unit: Option<String>,
}

/// What the peer is and may do.
pub(super) fn known(socket: &OwnedFd, groups: &Groups, manager: &Manager) -> Known {
    let Ok(Peer { groups: text, user }) = Peer::of(socket) else {
        return Known {
            authority: Authority::Nothing,
            unit: None,
        };
    };
    let control = |unit: &str| {
        let service = manager.entries().get(unit).and_then(|entry| entry.service());
        service.is_some_and(|service| service.control)
    };
    let place = groups.place(&text);
    Known {
        authority: decide_authority(place, user, control),
        unit: match place {
            Place::Unit(unit) => Some(unit.to_owned()),
            Place::Machine | Place::Outside => None,
        },
    }
}

/// The rule: units that say `control = true` may change things, other units may look, everything else may do nothing.
/// In the machine's own groups root may change things.
fn decide_authority(place: Place<'_>, uid: u32, may_control: impl Fn(&str) -> bool) -> Authority {
    match place {
        Place::Unit(unit) if may_control(unit) => Authority::Control,
        Place::Unit(_) => Authority::Read,
        Place::Machine if uid == 0 => Authority::Control,
        Place::Machine | Place::Outside => Authority::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authority_comes_from_the_group_and_never_from_the_user_alone() {
        let may_control = |unit: &str| unit == "access";
        for (place, uid, expected) in [
            (Place::Machine, 0, Authority::Control),
            (Place::Machine, 1000, Authority::Nothing),
            (Place::Unit("access"), 906, Authority::Control),
            (Place::Unit("netd"), 0, Authority::Read),
            (Place::Outside, 0, Authority::Nothing),
        ] {
            assert_eq!(decide_authority(place, uid, may_control), expected, "{place:?} {uid}");
        }
    }
}
