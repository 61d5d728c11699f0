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
    // The kernel's own structure: handler, flags, restorer, mask; zeros are the default action. The C library's call would
    // refuse the two signals it keeps for itself, which a parent may have set to be ignored all the same.
    let action = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: action is as long as the kernel's structure with its mask of eight bytes, and installs no handler.
        // SIGKILL and SIGSTOP are refused, which leaves them at their default.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                action.as_ptr(),
                std::ptr::null::<u64>(),
                8,
            )
        };
    }
    let empty = 0_u64;
    let how = libc::SIG_SETMASK;
    // SAFETY: the set is valid for the eight bytes given.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            how,
            &raw const empty,
            std::ptr::null::<u64>(),
            8,
        )
    };
}

/// Ends the process at once: no exit handlers, no flushing of buffers copied from the parent. For a cloned child.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit only ends the process.
    unsafe { libc::_exit(code) }
}
