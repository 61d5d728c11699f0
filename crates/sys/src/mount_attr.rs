//! mount_setattr(2): flags, propagation and id mapping of a mount or a whole tree.

#![allow(unsafe_code)]

use crate::clone3::last_errno;
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_RECURSIVE, MOUNT_ATTR_IDMAP, mount_attr};
use nix::libc;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What to change.
#[derive(Debug, Default, Clone, Copy)]
pub struct MountAttr<'fd> {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub clear: u64,
    /// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED` or `MS_UNBINDABLE`; 0 leaves it.
    pub propagation: u64,
    /// Map ids by this user namespace (detached mounts only).
    pub idmap: Option<BorrowedFd<'fd>>,
    /// The whole tree.
    pub recursive: bool,
}

/// Changes the mount `mount` refers to (a descriptor from `open_tree`, `fsmount` or an `O_PATH` open of its root).
///
/// # Errors
/// The kernel's: `EPERM` (locked flag, idmap not allowed), `EINVAL` (not a mount's root, file system without idmap), `EBUSY`.
pub fn mount_setattr(mount: BorrowedFd<'_>, change: &MountAttr<'_>) -> Result<(), Errno> {
    let mut attr = mount_attr {
        attr_set: change.set,
        attr_clr: change.clear,
        propagation: change.propagation,
        userns_fd: 0,
    };
    if let Some(namespace) = change.idmap {
        attr.attr_set |= u64::from(MOUNT_ATTR_IDMAP);
        attr.userns_fd = u64::try_from(namespace.as_raw_fd()).unwrap_or_default();
    }
    let flags = AT_EMPTY_PATH | if change.recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a literal C string, attr is valid for the size given, the descriptors are borrowed for the
    // call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw mut attr,
            size_of::<mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}
