//! Which child has ended, without reaping it: lets PID 1 look at what the child said last before its pid is free again.

#![allow(unsafe_code)]

use nix::libc;
use rustix::io::Errno;

use crate::clone3::last_errno;

/// A child that has ended and was not reaped; `None` if there is none now.
///
/// Works for whatever ended it (realtime signals included) and for children made by clone without `SIGCHLD`.
///
/// # Errors
/// `ECHILD` if there are no children at all.
pub fn peek() -> Result<Option<i32>, Errno> {
    // SAFETY: an all-zero siginfo_t is a valid value of this plain C structure.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: info is valid for writing and outlives the call.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, options) };
    if result != 0 {
        return Err(last_errno());
    }
    // SAFETY: waitid filled in the fields of SIGCHLD, or left the zero that means "nobody".
    let pid = unsafe { info.si_pid() };
    Ok((pid != 0).then_some(pid))
}
