//! `tmpcopyup`: what the image has in a directory is copied into the tmpfs that will cover it.

use crate::init::inside::Inside;
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, fchmod, fchown, fstat, mkdirat, openat, readlinkat,
    statat, symlinkat,
};
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Copies the directory at `path` (nothing if there is none) into the new file system `tree`.
pub fn copy_up(inside: Inside<'_>, path: &Path, tree: BorrowedFd<'_>) -> Result<(), std::io::Error> {
    let from = match inside.open(path, OFlags::RDONLY | OFlags::DIRECTORY) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    let into = openat(
        tree,
        ".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let stat = fstat(&from)?;
    fchown(
        &into,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    )?;
    fchmod(&into, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    copy_directory(from.as_fd(), into.as_fd())
}

fn copy_directory(from: BorrowedFd<'_>, into: BorrowedFd<'_>) -> Result<(), std::io::Error> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from, into, name)?;
        }
    }
    Ok(())
}

fn copy_entry(from: BorrowedFd<'_>, into: BorrowedFd<'_>, name: &CStr) -> Result<(), std::io::Error> {
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let (uid, gid) = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            mkdirat(into, name, Mode::RWXU)?;
            let (from, into) = (open_directory(from, name)?, open_directory(into, name)?);
            copy_directory(from.as_fd(), into.as_fd())?;
            fchown(&into, uid, gid)?;
            fchmod(&into, mode)?;
        }
        FileType::Symlink => {
            let target = readlinkat(from, name, Vec::new())?;
            symlinkat(target.as_c_str(), into, name)?;
            chownat(into, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut source = File::from(openat(from, name, flags, Mode::empty())?);
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mut copy = File::from(openat(into, name, flags, Mode::RUSR | Mode::WUSR)?);
            std::io::copy(&mut source, &mut copy)?;
            fchown(&copy, uid, gid)?;
            fchmod(&copy, mode)?;
        }
        // Sockets, pipes and nodes are nobody's content.
        _ => {}
    }
    Ok(())
}

fn open_directory(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}
