//! Hidden and read-only paths, each found once by descriptor and covered by descriptor.

use crate::error::{Result, Step};
use crate::init::file_system::{attach, change, copy_tree_at, new_file_system};
use crate::init::inside::Inside;
use keelson_sys::mount_attr::MountAttr;
use linux_raw_sys::general::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use rustix::fs::{FileType, Mode, OFlags, fstat, makedev};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Hides paths: files behind the null device, directories behind an empty read-only tmpfs. Missing ones are none.
pub fn mask(inside: Inside<'_>, paths: &[PathBuf]) -> Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    let null = open_null()?;
    for path in paths {
        if let Some(target) = find(inside, path).step("find masked path", path)? {
            mask_one(target.as_fd(), null.as_fd()).step("mask", path)?;
        }
    }
    Ok(())
}

fn mask_one(target: BorrowedFd<'_>, null: BorrowedFd<'_>) -> Result<(), std::io::Error> {
    let cover = if FileType::from_raw_mode(fstat(target)?.st_mode) == FileType::Directory {
        let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
        new_file_system(
            "tmpfs",
            "tmpfs",
            &[("nr_blocks".to_owned(), Some("1".to_owned()))],
            u64::from(attributes),
        )?
    } else {
        copy_tree_at(null, false)?
    };
    Ok(attach(cover.as_fd(), target)?)
}

/// Makes paths read-only, with what is mounted below them left as it is. Missing ones are none.
pub fn make_readonly(inside: Inside<'_>, paths: &[PathBuf]) -> Result<()> {
    for path in paths {
        let Some(target) = find(inside, path).step("find read-only path", path)? else {
            continue;
        };
        let tree = copy_tree_at(target.as_fd(), true).step("make read-only", path)?;
        let attr = MountAttr {
            set: u64::from(MOUNT_ATTR_RDONLY),
            ..MountAttr::default()
        };
        change(tree.as_fd(), &attr, path)?;
        attach(tree.as_fd(), target.as_fd()).step("make read-only", path)?;
    }
    Ok(())
}

fn find(inside: Inside<'_>, path: &Path) -> Result<Option<OwnedFd>, Errno> {
    match inside.find(path) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The host's null device, seen in this process's copy of the host's mounts (the root has not been changed yet).
fn open_null() -> Result<OwnedFd> {
    let path = "/dev/null";
    let null =
        rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty()).step("open", path)?;
    let stat = fstat(&null).step("examine", path)?;
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == makedev(1, 3);
    if is_null {
        Ok(null)
    } else {
        Err(Errno::NODEV).step("use as null device", path)
    }
}
