//! seccomp(2): loads a classic BPF filter into this thread.
//!
//! It knows how a filter is handed over. What the filter says is the caller's business.

#![allow(unsafe_code)]

use crate::clone3::last_errno;
use nix::libc;
use rustix::io::Errno;

/// One classic BPF instruction, laid out as the kernel reads it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if a jump's condition holds.
    pub if_true: u8,
    /// Instructions to skip otherwise.
    pub if_false: u8,
    /// Operand.
    pub operand: u32,
}

#[repr(C)]
struct Program {
    length: u16,
    filter: *const Instruction,
}

/// Loads the filter. The thread needs `no_new_privs` or CAP_SYS_ADMIN. `flags` are `SECCOMP_FILTER_FLAG_*` that return no
/// descriptor (log, spec allow, tsync).
///
/// # Errors
/// `E2BIG` for more than 65,535 instructions; the kernel's: `EINVAL` (bad program), `EACCES`.
pub fn load(filter: &[Instruction], flags: u32) -> Result<(), Errno> {
    let length = u16::try_from(filter.len()).map_err(|_| Errno::TOOBIG)?;
    let program = Program {
        length,
        filter: filter.as_ptr(),
    };
    // SAFETY: program and the instructions it points to are valid for the call; the kernel copies and checks them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Loads a filter with a listener and returns the notification descriptor's number as the kernel gave it.
///
/// # Errors
/// As [`load`], and `EBUSY` if the thread has a listener already.
pub fn load_with_listener(filter: &[Instruction], flags: u32) -> Result<std::os::fd::OwnedFd, Errno> {
    use std::os::fd::FromRawFd;
    let length = u16::try_from(filter.len()).map_err(|_| Errno::TOOBIG)?;
    let program = Program {
        length,
        filter: filter.as_ptr(),
    };
    let flags = libc::c_ulong::from(flags) | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // SAFETY: as in `load`.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    match i32::try_from(result) {
        // SAFETY: with NEW_LISTENER a non-negative result is a new descriptor that nothing else owns.
        Ok(number) if number >= 0 => Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(number) }),
        _ => Err(last_errno()),
    }
}
