//! pidfd_send_signal(2) with any signal number: rustix's and nix's types know no real-time signals.

#![allow(unsafe_code)]

use crate::clone3::last_errno;
use nix::libc;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sends a signal to the process behind a pidfd; 0 only asks whether it is there.
///
/// # Errors
/// `ESRCH` if it is gone, `EINVAL` for no signal's number, `EPERM`.
pub fn send(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo asks the kernel to fill in that of kill(2); the rest are integers.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}
