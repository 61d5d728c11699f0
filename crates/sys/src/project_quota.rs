//! Project quotas: which project a directory belongs to, how much a project uses, how much it may.
//!
//! ext4 with the features `quota` and `project`, mounted with `prjquota`. Sources: kernel
//! `include/uapi/linux/fs.h` (`FS_IOC_FSGETXATTR`), `include/uapi/linux/quota.h`, quotactl_fd(2) of Linux 5.14.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::libc;
use rustix::ioctl::{Getter, Setter, ioctl, opcode};

/// `struct fsxattr`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct FsXattr {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

/// `FS_XFLAG_PROJINHERIT`: what is made in the directory joins its project.
const INHERIT: u32 = 0x200;

const GET_ATTRIBUTES: u32 = opcode::read::<FsXattr>(b'X', 31);
const SET_ATTRIBUTES: u32 = opcode::write::<FsXattr>(b'X', 32);

/// `struct if_dqblk`. Limits are in blocks of 1 KiB, usage in bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Dqblk {
    block_hard: u64,
    block_soft: u64,
    space: u64,
    inode_hard: u64,
    inode_soft: u64,
    inodes: u64,
    block_time: u64,
    inode_time: u64,
    valid: u32,
}

const PROJECT: u32 = 2;
const GET_QUOTA: u32 = 0x80_0007;
const SET_QUOTA: u32 = 0x80_0008;
/// `QIF_BLIMITS`: the limits of blocks are meant.
const BLOCK_LIMITS: u32 = 1;
const BLOCK: u64 = 1024;

/// Makes `directory`, and all that is made in it from now on, part of `project`.
///
/// # Errors
/// `ENOTTY` or `EOPNOTSUPP` on a file system without projects.
#[allow(unsafe_code, reason = "rustix has no FS_IOC_FSSETXATTR")]
pub fn set_project(directory: impl AsFd, project: u32) -> io::Result<()> {
    // SAFETY: the call writes one `struct fsxattr`, which has the size and layout of `FsXattr`, all of whose bit
    // patterns are valid.
    let mut attributes = unsafe { ioctl(&directory, Getter::<GET_ATTRIBUTES, FsXattr>::new()) }?;
    attributes.project = project;
    attributes.flags |= INHERIT;
    // SAFETY: the call reads one `struct fsxattr`.
    unsafe { ioctl(&directory, Setter::<SET_ATTRIBUTES, FsXattr>::new(attributes)) }?;
    Ok(())
}

/// Bytes that `project` uses on the file system that `file` lies on.
///
/// # Errors
/// `ESRCH` when quotas are not kept, `ENOSYS` before Linux 5.14.
pub fn usage(file: impl AsFd, project: u32) -> io::Result<u64> {
    let mut block = Dqblk::default();
    quotactl(&file, GET_QUOTA, project, &mut block)?;
    Ok(block.space)
}

/// Bounds what `project` may use on the file system that `file` lies on; 0 lifts the bound. A process with
/// `CAP_SYS_RESOURCE` is not bound by it.
///
/// # Errors
/// As [`usage`].
pub fn set_limit(file: impl AsFd, project: u32, bytes: u64) -> io::Result<()> {
    let blocks = bytes.div_ceil(BLOCK);
    let mut block = Dqblk {
        block_hard: blocks,
        valid: BLOCK_LIMITS,
        ..Dqblk::default()
    };
    quotactl(&file, SET_QUOTA, project, &mut block)
}

#[allow(unsafe_code, reason = "neither rustix nor nix has quotactl_fd")]
fn quotactl(file: &impl AsFd, command: u32, project: u32, block: &mut Dqblk) -> io::Result<()> {
    let command = (command << 8) | PROJECT;
    let fd = file.as_fd().as_raw_fd();
    let block = std::ptr::from_mut(block);
    // SAFETY: both commands read or write one `struct if_dqblk` at the last argument; `block` is one and is not used
    // otherwise meanwhile. The descriptor is borrowed for the call.
    let outcome = unsafe { libc::syscall(libc::SYS_quotactl_fd, fd, command, project, block) };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<FsXattr>(), 28);
        assert_eq!(size_of::<Dqblk>(), 72);
    }

    #[test]
    fn a_file_system_without_projects_refuses() {
        let file = std::fs::File::open("/proc/self").unwrap();
        assert!(set_project(&file, 1).is_err());
        assert!(usage(&file, 1).is_err() && set_limit(&file, 1, 1).is_err());
    }
}
