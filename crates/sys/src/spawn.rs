//! Starting a program in a control group with a given row of descriptors, for PID 1.
//!
//! `CLONE_INTO_CGROUP` puts the child where it belongs before its first instruction; `CLONE_VFORK` keeps the caller
//! from running until the child has executed its program. Memory is copied and not shared (`CLONE_VM`): PID 1 is
//! small, and a child that needs no stack of its own is easier to trust. No pidfd is asked for: the caller is the
//! parent and the only one who reaps, so a pid names this child until the caller itself has reaped it.

#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use linux_raw_sys::general::{CLONE_INTO_CGROUP, CLONE_VFORK, clone_args};
use nix::libc;
use rustix::io::Errno;

use crate::clone3::last_errno;
use crate::passed_fds::FIRST;

/// Most descriptors a program can be given.
pub const MOST_DESCRIPTORS: usize = 32;

/// What is started.
#[derive(Debug)]
pub struct Program<'a> {
    /// Path of the executable.
    pub path: CString,
    /// Arguments, the name first.
    pub arguments: Vec<CString>,
    /// Variables as `NAME=value`.
    pub environment: Vec<CString>,
    /// Directory of the control group (version 2).
    pub group: BorrowedFd<'a>,
    /// Become 3, 4, … in the program, open over its `execve`. The last one gets a line of text if it cannot be executed.
    pub descriptors: Vec<BorrowedFd<'a>>,
}

/// Starts the program; returns its pid. The signal mask is inherited.
///
/// # Errors
/// `E2BIG` for more than [`MOST_DESCRIPTORS`]; otherwise clone3's: `EAGAIN` (limits), `EBUSY` (the group delegates
/// controllers), `ENOENT` (the group was removed), ….
pub fn spawn(program: &Program<'_>) -> Result<i32, Errno> {
    if program.descriptors.len() > MOST_DESCRIPTORS {
        return Err(Errno::TOOBIG);
    }
    let pointers = |words: &[CString]| -> Vec<*const libc::c_char> {
        words
            .iter()
            .map(|word| word.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    };
    let (argv, envp) = (pointers(&program.arguments), pointers(&program.environment));
    let mut sources = [-1; MOST_DESCRIPTORS];
    for (place, descriptor) in sources.iter_mut().zip(&program.descriptors) {
        *place = descriptor.as_raw_fd();
    }
    // SAFETY: an all-zero clone_args is a valid value of this plain C structure.
    let mut args: clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_INTO_CGROUP | u64::from(CLONE_VFORK);
    args.exit_signal = libc::SIGCHLD as u64;
    args.cgroup = u64::try_from(program.group.as_raw_fd()).map_err(|_| Errno::BADF)?;
    // SAFETY: args is valid for its size and outlives the call. There is no CLONE_VM and no stack, so the child runs on
    // a copy of this stack, as after fork, and calls nothing but `become_program`.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<clone_args>()) };
    match result {
        -1 => Err(last_errno()),
        0 => become_program(&program.path, &argv, &envp, &mut sources, program.descriptors.len()),
        pid => i32::try_from(pid).map_err(|_| Errno::INVAL),
    }
}

/// The child: system calls only, nothing that allocates, locks or returns.
fn become_program(
    path: &CString,
    argv: &[*const libc::c_char],
    envp: &[*const libc::c_char],
    descriptors: &mut [RawFd; MOST_DESCRIPTORS],
    count: usize,
) -> ! {
    const COMPLAINT: &[u8] = b"cannot execute the exec helper";
    let above = FIRST + MOST_DESCRIPTORS as RawFd;
    for descriptor in descriptors.iter_mut().take(count) {
        // SAFETY: fcntl and dup2 on numbers of this process's own table. First everything moves out of the way of the
        // final numbers, then into place; the copies above close themselves at execve.
        *descriptor = unsafe { libc::fcntl(*descriptor, libc::F_DUPFD_CLOEXEC, above) };
    }
    let mut number = FIRST;
    for descriptor in descriptors.iter().take(count) {
        // SAFETY: as above; dup2 leaves the new number open over execve.
        unsafe { libc::dup2(*descriptor, number) };
        number += 1;
    }
    // SAFETY: path, argv and envp are C strings and null-terminated arrays the caller keeps alive; write and _exit take
    // plain values and the process ends here in any case.
    unsafe {
        libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr());
        libc::write(number - 1, COMPLAINT.as_ptr().cast(), COMPLAINT.len());
        libc::_exit(127)
    }
}

/// Takes over the two descriptors that [`spawn`] placed from `first` on, and marks everything from there on to be closed
/// at `execve`. A second call gives `None`.
#[must_use]
pub fn take_pair(first: RawFd) -> Option<(OwnedFd, OwnedFd)> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let second = first.checked_add(1)?;
    if first < FIRST || TAKEN.swap(true, Ordering::SeqCst) {
        return None;
    }
    crate::exec_attributes::close_on_exec_from(u32::try_from(first).ok()?).ok()?;
    Some((own(first)?, own(second)?))
}

/// Takes over a descriptor by the number the previous program image of this process left open for this one; `None` for
/// a number that is not open or was taken before.
#[must_use]
pub fn take_left_open(number: RawFd) -> Option<OwnedFd> {
    static TAKEN: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());
    let first_time = number >= FIRST && TAKEN.lock().is_ok_and(|mut taken| taken.insert(number));
    if first_time { own(number) } else { None }
}

fn own(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_SETFD on a number; EBADF if it is not open.
    let done = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: the call above showed that it is open; the callers make sure that each number is owned once, and that it
    // was left open for this very program image.
    (done == 0).then(|| unsafe { OwnedFd::from_raw_fd(number) })
}
