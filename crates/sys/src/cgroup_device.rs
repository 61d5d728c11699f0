//! bpf(2) for one use: the program that decides about device access in a cgroup.

#![allow(unsafe_code)]

use crate::clone3::last_errno;
use nix::libc;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;
const MOST_ATTACHED: usize = 64;

#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

#[repr(C)]
#[derive(Default)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

/// Loads a program of eBPF instructions (eight bytes each, as the kernel reads them).
///
/// # Errors
/// The kernel's: `EINVAL`, `EACCES` (the verifier refused), `EPERM`.
pub fn load(instructions: &[u64]) -> Result<OwnedFd, Errno> {
    let mut attr = Load {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(instructions.len()).map_err(|_| Errno::TOOBIG)?,
        insns: instructions.as_ptr().expose_provenance() as u64,
        license: c"Apache-2.0".as_ptr().expose_provenance() as u64,
        prog_name: *b"keelson_devices\0",
        ..Load::default()
    };
    let number = bpf(BPF_PROG_LOAD, &mut attr)?;
    // SAFETY: a successful load returns a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Attaches it to a cgroup directory, beside what is attached already.
///
/// # Errors
/// The kernel's: `EPERM`, `EBADF` (not a cgroup v2 directory).
pub fn attach(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut attr = attach_attr(cgroup, program)?;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    bpf(BPF_PROG_ATTACH, &mut attr).map(drop)
}

/// Detaches a program from a cgroup directory.
///
/// # Errors
/// The kernel's: `ENOENT` if it is not attached there.
pub fn detach(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut attr = attach_attr(cgroup, program)?;
    bpf(BPF_PROG_DETACH, &mut attr).map(drop)
}

/// The device programs attached to this cgroup itself.
///
/// # Errors
/// The kernel's; `ENOSPC` for more than 64.
pub fn attached(cgroup: BorrowedFd<'_>) -> Result<Vec<OwnedFd>, Errno> {
    let mut ids = [0_u32; MOST_ATTACHED];
    let mut query = Query {
        target_fd: number(cgroup)?,
        attach_type: BPF_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr().expose_provenance() as u64,
        prog_cnt: MOST_ATTACHED as u32,
        ..Query::default()
    };
    bpf(BPF_PROG_QUERY, &mut query)?;
    let count = usize::try_from(query.prog_cnt).unwrap_or_default();
    ids.iter().take(count).map(|id| by_id(*id)).collect()
}

fn by_id(id: u32) -> Result<OwnedFd, Errno> {
    let mut attr = [id, 0, 0];
    let number = bpf(BPF_PROG_GET_FD_BY_ID, &mut attr)?;
    // SAFETY: a successful call returns a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn attach_attr(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<Attach, Errno> {
    Ok(Attach {
        target_fd: number(cgroup)?,
        attach_bpf_fd: number(program)?,
        attach_type: BPF_CGROUP_DEVICE,
        ..Attach::default()
    })
}

fn number(fd: BorrowedFd<'_>) -> Result<u32, Errno> {
    u32::try_from(fd.as_raw_fd()).map_err(|_| Errno::BADF)
}

fn bpf<T>(command: libc::c_int, attr: &mut T) -> Result<libc::c_int, Errno> {
    // SAFETY: attr is one of the plain structures above, valid for its size; the pointers inside it refer to buffers
    // the callers keep alive over the call, with their true lengths beside them.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    match libc::c_int::try_from(result) {
        Ok(number) if number >= 0 => Ok(number),
        _ => Err(last_errno()),
    }
}
