//! Who may ask the journal: processes of the machine that are known for certain. In doubt nobody is let in.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use nix::sys::socket::{getsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::origin;

/// Whether the other end of a connection may read the journal. Its user says nothing: a container's root is uid 0 too.
pub fn may_read(socket: &UnixStream) -> bool {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    cgroup(socket).is_some_and(|peer| is_of_machine(&peer, &own))
}

/// The peer's `/proc/PID/cgroup`; nothing if the process that connected has ended, since its number may be another's.
fn cgroup(socket: &UnixStream) -> Option<String> {
    let pid = getsockopt(socket, sockopt::PeerCredentials).ok()?.pid();
    let pidfd = getsockopt(socket, sockopt::PeerPidfd).ok()?;
    cgroup_of(pid, &pidfd)
}

fn cgroup_of(pid: i32, pidfd: &OwnedFd) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    // A pidfd becomes readable when its process ends. Asked last: only then was what was read its own.
    let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(rustix::event::poll(&mut polled, Some(&now)), Ok(0)).then_some(text)
}

/// The machine's groups are the root, that of init, those of units, and the journal's own wherever it runs.
fn is_of_machine(peer: &str, own: &str) -> bool {
    let Some(path) = origin::unified(peer) else {
        return false;
    };
    matches!(path, "/" | "/init")
        || path.starts_with("/system/")
        || (!path.starts_with("/containers") && origin::unified(own) == Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_not_known_to_be_of_the_machine_is_refused() {
        let table = [
            ("0::/\n", true),
            ("4:memory:/x\n0::/\n", true),
            ("0::/init\n", true),
            ("0::/system/access\n", true),
            ("0::/system/runtimed/inner\n", true),
            ("0::/tests/here\n", true),
            ("", false),
            ("0::\n", false),
            ("4:memory:/system/access\n", false),
            ("0::/system\n", false),
            ("0::/systems/access\n", false),
            ("0::/tests/there\n", false),
            ("0::/../system/access\n", false),
            ("0::/containers/abc/payload\n", false),
            ("0::/containers\n", false),
        ];
        for (peer, expected) in table {
            assert_eq!(is_of_machine(peer, "0::/tests/here\n"), expected, "{peer}");
        }
        assert!(!is_of_machine("", ""));
        assert!(!is_of_machine("0::/containers/abc\n", "0::/containers/abc\n"));
    }

    #[test]
    fn a_process_beside_the_journal_is_let_in() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert!(may_read(&one));
    }

    #[test]
    fn a_process_that_has_ended_has_no_group() {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(cgroup_of(pid, &pidfd).is_some());
        drop(child.stdin.take());
        rustix::event::poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).unwrap();
        // Not reaped yet: its files in /proc are still there.
        assert_eq!(cgroup_of(pid, &pidfd), None);
        child.wait().unwrap();
    }
}
