//! New file systems and copies of mounts, as detached mounts held by descriptor; and putting them in place.

use crate::error::{Result, Step};
use keelson_sys::mount_attr::{MountAttr, mount_setattr};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A new file system, not yet anywhere. `attributes` are `MOUNT_ATTR_*`.
pub fn new_file_system(
    fstype: &str,
    source: &str,
    data: &[(String, Option<String>)],
    attributes: u64,
) -> Result<OwnedFd, io::Error> {
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC)?;
    configure(context.as_fd(), source, data, attributes).map_err(|errno| with_kernel_words(context.as_fd(), errno))
}

fn configure(
    context: BorrowedFd<'_>,
    source: &str,
    data: &[(String, Option<String>)],
    attributes: u64,
) -> Result<OwnedFd, Errno> {
    fsconfig_set_string(context, "source", source)?;
    for (key, value) in data {
        match value {
            Some(value) => fsconfig_set_string(context, key.as_str(), value.as_str())?,
            None => fsconfig_set_flag(context, key.as_str())?,
        }
    }
    fsconfig_create(context)?;
    let attributes = MountAttrFlags::from_bits_retain(u32::try_from(attributes).map_err(|_| Errno::INVAL)?);
    fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// The errno, and what the kernel says about it in the context's log.
fn with_kernel_words(context: BorrowedFd<'_>, errno: Errno) -> io::Error {
    let mut words = [0; 512];
    match rustix::io::read(context, &mut words) {
        Ok(length) if length > 0 => {
            let said = String::from_utf8_lossy(words.get(..length).unwrap_or_default()).into_owned();
            let error = io::Error::from(errno);
            io::Error::new(
                error.kind(),
                format!("{error}: {}", said.trim().trim_start_matches("e ")),
            )
        }
        _ => errno.into(),
    }
}

/// A detached copy of the mount a path of the host shows.
pub fn copy_tree(path: &Path, recursive: bool) -> Result<OwnedFd, Errno> {
    open_tree(CWD, path, copy_flags(recursive))
}

/// A detached copy of the mount at a descriptor.
pub fn copy_tree_at(fd: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd, Errno> {
    open_tree(fd, "", copy_flags(recursive) | OpenTreeFlags::AT_EMPTY_PATH)
}

fn copy_flags(recursive: bool) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags | OpenTreeFlags::AT_RECURSIVE
    } else {
        flags
    }
}

/// Puts a detached mount over what `target` refers to.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags)
}

/// Changes a mount.
pub fn change(mount: BorrowedFd<'_>, attr: &MountAttr<'_>, path: &Path) -> Result<()> {
    mount_setattr(mount, attr).step("set mount attributes of", path)
}
