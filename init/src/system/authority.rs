//! Who may ask PID 1 for what: decided from the control group of the peer, never from its user number alone, since a
//! container's root is uid 0 too.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::cgroup::{Groups, Place};
use crate::manager::{Authority, Manager};

/// Who is at the other end of a connection.
pub(super) struct Known {
    /// What it may do.
    pub authority: Authority,
    /// The unit it belongs to.
    pub unit: Option<String>,
}

/// What the peer is and may do. Its pidfd makes sure that the group looked at is that of the process that connected.
pub(super) fn known(socket: &OwnedFd, groups: &Groups, manager: &Manager) -> Known {
    let Some((text, uid)) = peer(socket) else {
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
        authority: decide_authority(place, uid, control),
        unit: match place {
            Place::Unit(unit) => Some(unit.to_owned()),
            Place::Machine | Place::Outside => None,
        },
    }
}

/// The text of the peer's `/proc/PID/cgroup` and its user; `None` if it cannot be known for certain.
fn peer(socket: &OwnedFd) -> Option<(String, u32)> {
    let credentials = nix::sys::socket::getsockopt(socket, nix::sys::socket::sockopt::PeerCredentials).ok()?;
    let pidfd = match nix::sys::socket::getsockopt(socket, nix::sys::socket::sockopt::PeerPidfd) {
        Ok(pidfd) => pidfd,
        // Before Linux 6.5, so never on a machine of ours: as good as it gets for the init of a container.
        Err(nix::errno::Errno::ENOPROTOOPT) => {
            let pid = rustix::process::Pid::from_raw(credentials.pid())?;
            rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?
        }
        Err(_) => return None,
    };
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    let pid = parse_pid(&info)?;
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    // Only now: a process that is still alive was the one we read about.
    is_alive(&pidfd).then_some((text, credentials.uid()))
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

fn parse_pid(fdinfo: &str) -> Option<i32> {
    let line = fdinfo.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok().filter(|pid| *pid > 0)
}

/// A pidfd becomes readable when its process has ended.
fn is_alive(pidfd: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(rustix::event::poll(&mut polled, Some(&now)), Ok(0))
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

    #[test]
    fn a_process_that_is_gone_has_no_pid() {
        assert_eq!(parse_pid("pos:\t0\nPid:\t4711\nNSpid:\t4711\n"), Some(4711));
        assert_eq!(parse_pid("Pid:\t-1\n"), None);
        assert_eq!(parse_pid(""), None);
    }
}
