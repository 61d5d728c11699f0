//! Attributes a process takes on before it runs a program, for which rustix and nix have no call: keyring, personality,
//! I/O priority, scheduling policy, close-on-exec over a range.

#![allow(unsafe_code)]

use crate::clone3::last_errno;
use nix::libc;
use rustix::io::Errno;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
const IOPRIO_WHO_PROCESS: libc::c_int = 1;

/// Marks every descriptor from `first` on to be closed by execve.
///
/// # Errors
/// The kernel's.
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: integers only; nothing is closed now.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    done(result)
}

/// Joins a new session keyring of this name.
///
/// # Errors
/// `ENOSYS` if the kernel has no keyrings, `EDQUOT`, ….
pub fn join_session_keyring(name: &std::ffi::CStr) -> Result<(), Errno> {
    // SAFETY: name is a C string valid for the call.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}

/// Sets the execution domain.
///
/// # Errors
/// The kernel's.
pub fn set_personality(domain: u32) -> Result<(), Errno> {
    // SAFETY: an integer only.
    let result = unsafe { libc::syscall(libc::SYS_personality, libc::c_ulong::from(domain)) };
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}

/// Sets this process's I/O priority; `value` is class << 13 | priority.
///
/// # Errors
/// `EPERM` for the real-time class without CAP_SYS_ADMIN or CAP_SYS_NICE.
pub fn set_io_priority(value: u32) -> Result<(), Errno> {
    // SAFETY: integers only.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) };
    done(result)
}

/// Arguments of sched_setattr(2).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct SchedAttr {
    /// Size of this structure; filled in by [`set_scheduler`].
    pub size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// Niceness of the normal policies.
    pub nice: i32,
    /// Priority of the real-time policies.
    pub priority: u32,
    /// Nanoseconds, for the deadline policy.
    pub runtime: u64,
    /// Nanoseconds, for the deadline policy.
    pub deadline: u64,
    /// Nanoseconds, for the deadline policy.
    pub period: u64,
}

/// Sets this thread's scheduling policy.
///
/// # Errors
/// The kernel's: `EPERM`, `EINVAL`, `EBUSY`.
pub fn set_scheduler(attr: &SchedAttr) -> Result<(), Errno> {
    let mut attr = SchedAttr {
        size: u32::try_from(size_of::<SchedAttr>()).unwrap_or_default(),
        ..*attr
    };
    // SAFETY: attr is valid for the size it states.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw mut attr, 0) };
    done(result)
}

fn done(result: libc::c_long) -> Result<(), Errno> {
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Gives every signal its default action and unblocks all, as a program expects to be started.
pub fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL installs no handler. SIGKILL, SIGSTOP and the two numbers the C library keeps are refused,
        // which leaves them at their default, as wanted.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero sigset_t is the empty set on Linux, and it is valid for the call.
    unsafe {
        let empty: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut());
    }
}

/// Ends the process at once: no exit handlers, no flushing of buffers copied from the parent. For a cloned child.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit only ends the process.
    unsafe { libc::_exit(code) }
}
