//! clone3(2): a child born in its namespaces and its cgroup, with a pidfd.
//!
//! For container runtimes: the child goes on in Rust code, which is only sound in a process of one thread. The wrapper
//! checks that itself and refuses otherwise.

#![allow(unsafe_code)]

use linux_raw_sys::general::{CLONE_INTO_CGROUP, CLONE_PARENT, CLONE_PIDFD, clone_args};
use nix::libc;
use rustix::io::Errno;
use rustix::process::Pid;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// A child knows that it has one thread; it may have no /proc to read it from.
static IS_CLONED: AtomicBool = AtomicBool::new(false);

/// How a child is made.
#[derive(Debug, Default)]
pub struct Clone3<'fd> {
    /// `CLONE_NEW*` flags.
    pub namespaces: u64,
    /// The directory of the cgroup it is born in (cgroup v2).
    pub cgroup: Option<BorrowedFd<'fd>>,
    /// Make it a sibling: a child of our own parent, without an exit signal of its own.
    pub sibling: bool,
}

/// Which side of the clone this is.
#[derive(Debug)]
pub enum Cloned {
    /// The caller, with the child.
    Parent {
        /// Its number in our pid namespace.
        pid: Pid,
        /// Its descriptor.
        pidfd: OwnedFd,
    },
    /// The child.
    Child,
}

/// Clones the process (memory and descriptors are copied, as by fork).
///
/// # Errors
/// `EDEADLK` if the process has more than one thread (our own check); otherwise clone3's: `EPERM`, `EAGAIN` (limits),
/// `EBUSY` (the cgroup delegates controllers), `EINVAL`, ….
pub fn clone3(how: &Clone3<'_>) -> Result<Cloned, Errno> {
    if !IS_CLONED.load(Ordering::Relaxed) && !has_one_thread() {
        return Err(Errno::DEADLK);
    }
    let mut pidfd: libc::c_int = -1;
    // SAFETY: an all-zero clone_args is a valid value of this plain C structure.
    let mut args: clone_args = unsafe { std::mem::zeroed() };
    args.flags = how.namespaces | u64::from(CLONE_PIDFD);
    args.pidfd = (&raw mut pidfd).expose_provenance() as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if how.sibling {
        args.flags |= u64::from(CLONE_PARENT);
        args.exit_signal = 0;
    }
    if let Some(cgroup) = how.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::try_from(cgroup.as_raw_fd()).unwrap_or_default();
    }
    // SAFETY: args is valid for its size and outlives the call, as does the pidfd it points to. There is no CLONE_VM
    // and no stack, so the child runs on a copy of this stack as after fork. The process has one thread (checked
    // above), so no lock can be held by a thread the child does not have, and any Rust code may run in it.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<clone_args>()) };
    match result {
        -1 => Err(last_errno()),
        0 => {
            IS_CLONED.store(true, Ordering::Relaxed);
            Ok(Cloned::Child)
        }
        number => {
            let pid = i32::try_from(number).ok().and_then(Pid::from_raw).ok_or(Errno::INVAL)?;
            // SAFETY: the kernel succeeded, so it put a new descriptor there that nothing else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent { pid, pidfd })
        }
    }
}

fn has_one_thread() -> bool {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else {
        return false;
    };
    thread_count(&stat) == Some(1)
}

/// The twentieth field of /proc/PID/stat; the second may hold anything, so count from its closing parenthesis.
fn thread_count(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(17)?.parse().ok()
}

pub(crate) fn last_errno() -> Errno {
    std::io::Error::last_os_error()
        .raw_os_error()
        .map_or(Errno::IO, Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_counted_behind_any_name() {
        let stat = "4 (a) b (c) S 1 4 4 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 99 0 0";
        assert_eq!(thread_count(stat), Some(3));
        assert_eq!(thread_count("nonsense"), None);
    }

    #[test]
    fn a_process_of_several_threads_is_refused() {
        let (stop, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv());
        assert!(matches!(clone3(&Clone3::default()), Err(Errno::DEADLK)));
        drop(stop);
        let _ = thread.join();
    }
}
