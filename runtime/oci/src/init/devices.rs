//! Device nodes and links in the container's /dev.

use crate::error::{Result, Step};
use crate::init::file_system::attach;
use crate::init::inside::{Inside, remove_name};
use crate::spec::devices::{DevicePlan, LINKS};
use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid, chownat, makedev, mknodat, statat, symlinkat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Makes the nodes. `sources` are the host's nodes as detached mounts, given where a user namespace forbids mknod.
pub fn make_devices(inside: Inside<'_>, devices: &[DevicePlan], sources: &[Option<OwnedFd>]) -> Result<()> {
    for (index, device) in devices.iter().enumerate() {
        match sources.get(index).and_then(Option::as_ref) {
            Some(source) => bind_device(inside, device, source.as_fd()),
            None => make_device(inside, device),
        }
        .step("make device", &device.path)?;
    }
    Ok(())
}

fn bind_device(inside: Inside<'_>, device: &DevicePlan, source: BorrowedFd<'_>) -> Result<(), Errno> {
    let target = inside.make_file(&device.path)?;
    attach(source, target.as_fd())
}

fn make_device(inside: Inside<'_>, device: &DevicePlan) -> Result<(), Errno> {
    let (directory, name) = inside.make_parent(&device.path)?;
    let number = if device.kind == FileType::Fifo {
        0
    } else {
        makedev(device.major, device.minor)
    };
    // The umask is zero here, so the node has its mode from the start.
    match mknodat(&directory, name, device.kind, Mode::from_raw_mode(device.mode), number) {
        Err(Errno::EXIST) if is_same(directory.as_fd(), device) => return Ok(()),
        Err(Errno::EXIST) => {
            remove_name(directory.as_fd(), name)?;
            mknodat(&directory, name, device.kind, Mode::from_raw_mode(device.mode), number)?;
        }
        other => other?,
    }
    let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
    chownat(&directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

/// Whether the node stands there already, as in an image that brings its /dev or a bind mounted one.
fn is_same(directory: BorrowedFd<'_>, device: &DevicePlan) -> bool {
    let Some(name) = device.path.file_name() else {
        return false;
    };
    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == device.kind
            && (device.kind == FileType::Fifo || stat.st_rdev == makedev(device.major, device.minor))
    })
}

/// Makes the links every container has; what stands there already is left, but for /dev/ptmx.
pub fn make_links(inside: Inside<'_>) -> Result<()> {
    for (path, target) in LINKS {
        make_link(inside, Path::new(path), target).step("make link", path)?;
    }
    Ok(())
}

fn make_link(inside: Inside<'_>, path: &Path, target: &str) -> Result<(), Errno> {
    let (directory, name) = inside.make_parent(path)?;
    // The host's ptmx would hand out the host's terminals.
    if path == Path::new("/dev/ptmx") {
        remove_name(directory.as_fd(), name)?;
    }
    match symlinkat(target, &directory, name) {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}
