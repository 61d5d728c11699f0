//! Who is at the other end of a local connection: its control group and its user, known for certain or not at all.
//!
//! A user number alone says nothing: root of a container is uid 0 too. A process number alone says nothing either: when
//! the process ends, the number may become another's. So the kernel is asked for a descriptor of the process that
//! connected (`SO_PEERPIDFD`, Linux 6.5), its group is read, and last of all the descriptor must say that the process
//! still lives. Never waits; PID 1 uses it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{getsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The text of its `/proc/PID/cgroup` (cgroups(7)).
    pub groups: String,
    /// Its user when it connected.
    pub user: u32,
}

impl Peer {
    /// Finds out who connected.
    ///
    /// # Errors
    /// The kernel does not say, or the process has ended: nothing may be granted then.
    pub fn of(socket: &impl AsFd) -> io::Result<Self> {
        let user = getsockopt(socket, sockopt::PeerCredentials)?.uid();
        let pidfd = getsockopt(socket, sockopt::PeerPidfd)?;
        let groups = groups_of(&pidfd)?;
        Ok(Self { groups, user })
    }

    /// Whether it runs in a container, or where nothing is known about.
    #[must_use]
    pub fn is_in_container(&self) -> bool {
        unified(&self.groups).is_none_or(is_of_containers)
    }
}

/// The path in the unified hierarchy, by the text of a `/proc/PID/cgroup`.
#[must_use]
pub fn unified(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Whether a group is one of containers: the engine keeps every container below `/containers`.
#[must_use]
pub fn is_of_containers(path: &str) -> bool {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    parts.next() == Some("containers") || path.split('/').any(|part| part == "..")
}

/// The groups of a process that lives.
fn groups_of(pidfd: &OwnedFd) -> io::Result<String> {
    let ended = || io::Error::new(io::ErrorKind::NotFound, "the process has ended");
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let pid = parse_pid(&info).ok_or_else(ended)?;
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    // Only now: a process that is still alive was the one we read about.
    if is_alive(pidfd) { Ok(groups) } else { Err(ended()) }
}

/// The `Pid:` line of a pidfd's information; -1 means that the process has ended, 0 that it is of another world.
fn parse_pid(fdinfo: &str) -> Option<u32> {
    let line = fdinfo.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok().filter(|pid| *pid > 0)
}

/// A pidfd becomes readable when its process has ended.
fn is_alive(pidfd: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&now)), Ok(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    use std::os::unix::net::UnixStream;

    #[test]
    fn finds_itself() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        assert_eq!(peer.user, rustix::process::getuid().as_raw());
        assert_eq!(peer.groups, fs::read_to_string("/proc/self/cgroup").unwrap());
    }

    #[test]
    fn containers_are_known_by_their_group() {
        let table = [
            ("0::/containers/abc/payload\n", true),
            ("4:cpu:/\n0::/containers", true),
            ("0::/../containers/abc", true),
            ("0::/system/../containers", true),
            ("4:cpu:/system\n", true),
            ("", true),
            ("0::/system/runtimed/main\n", false),
            ("0::/\n", false),
            ("0::/system/containers", false),
            ("0::/containers-of-mine", false),
        ];
        for (groups, expected) in table {
            let peer = Peer {
                groups: groups.to_owned(),
                user: 0,
            };
            assert_eq!(peer.is_in_container(), expected, "{groups}");
        }
    }

    #[test]
    fn a_process_that_is_gone_has_no_pid() {
        assert_eq!(parse_pid("pos:\t0\nPid:\t4711\nNSpid:\t4711\n"), Some(4711));
        assert_eq!(parse_pid("Pid:\t-1\n"), None);
        assert_eq!(parse_pid("Pid:\t0\n"), None);
        assert_eq!(parse_pid(""), None);
    }

    #[test]
    fn a_process_that_has_ended_has_no_group() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        assert!(groups_of(&pidfd).is_ok());
        drop(child.stdin.take());
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).unwrap();
        // Not reaped yet: its files in /proc are still there.
        assert!(groups_of(&pidfd).is_err());
        child.wait().unwrap();
        assert!(groups_of(&pidfd).is_err());
    }
}
