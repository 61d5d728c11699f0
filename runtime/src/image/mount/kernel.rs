//! File-system mounts through the kernel's mount API: a context, options, a mount, a place. What the
//! kernel logs on the context becomes part of the error.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

/// Why a mount failed.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// A step failed.
    #[error("cannot {step} {path}{detail}", path = path.display())]
    Step {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel logged, in brackets, or nothing.
        detail: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl MountError {
    /// For `map_err`: names the step and the path.
    pub fn step(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Step {
            step,
            path,
            detail: String::new(),
            source,
        }
    }
}

/// One option of a file system.
#[derive(Debug, Clone, Copy)]
pub enum MountOption<'a> {
    /// A word.
    Flag(&'a str),
    /// A key and a value, which may hold any character.
    Value(&'a str, &'a OsStr),
}

/// Mounts a file system of `kind` at `target`.
///
/// # Errors
/// [`MountError`]; nothing is mounted then.
pub fn mount(
    kind: &str,
    options: &[MountOption<'_>],
    attributes: MountAttrFlags,
    target: &Path,
) -> Result<(), MountError> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|errno| MountError::step("open the file system for", target)(errno.into()))?;
    let made = configure(&context, options).and_then(|()| fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes));
    let mounted = made.and_then(|mount| move_mount(&mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH));
    mounted.map_err(|errno| MountError::Step {
        step: "mount",
        path: target.to_owned(),
        detail: kernel_log(&context),
        source: errno.into(),
    })
}

fn configure(context: &OwnedFd, options: &[MountOption<'_>]) -> rustix::io::Result<()> {
    for option in options {
        match option {
            MountOption::Flag(key) => fsconfig_set_flag(context, *key)?,
            MountOption::Value(key, value) => fsconfig_set_string(context, *key, *value)?,
        }
    }
    fsconfig_create(context)
}

/// What the kernel has to say about a context: one message per read.
fn kernel_log(context: &OwnedFd) -> String {
    let mut messages = Vec::new();
    let mut buffer = [0; 512];
    while let Ok(count) = rustix::io::read(context, &mut buffer) {
        let message = buffer.get(..count).unwrap_or_default();
        messages.push(String::from_utf8_lossy(message).trim().to_owned());
        if count == 0 || messages.len() == 8 {
            break;
        }
    }
    if messages.is_empty() {
        String::new()
    } else {
        format!(" ({})", messages.join("; "))
    }
}

/// Whether something is mounted at this very path.
pub fn is_mounted(path: &Path) -> bool {
    statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE)
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Takes a mount away from its path at once; it ends with its last user. Nothing there is fine.
///
/// # Errors
/// [`MountError`].
pub fn take_away(path: &Path) -> Result<(), MountError> {
    while is_mounted(path) {
        unmount(path, UnmountFlags::DETACH).map_err(|errno| MountError::step("unmount", path)(errno.into()))?;
    }
    Ok(())
}
