//! Copies a directory of a container's root into a fresh volume: owners, modes, times, links and
//! extended attributes stay. Works by descriptors, so that no link of the image leads out of it.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod, fchown, fgetxattr,
    flistxattr, fsetxattr, futimens, mkdirat, mknodat, openat, readlinkat, statat, symlinkat,
};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Copies everything in `from` into the empty directory `to`, whose own owner and mode become those
/// of `from`.
///
/// # Errors
/// The first failure; what was copied stays.
pub fn copy_tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    // An O_PATH descriptor cannot be read; opening `.` gives one that can.
    let from = openat(from, ".", DIRECTORY, Mode::empty())?;
    copy_directory(&from, to)
}

fn copy_directory(from: &OwnedFd, to: BorrowedFd<'_>) -> io::Result<()> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from, to, name)?;
        }
    }
    let stat = rustix::fs::fstat(from)?;
    copy_attributes(from.as_fd(), to)?;
    set_metadata(to, &stat)
}

fn copy_entry(from: &OwnedFd, to: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            mkdirat(to, name, Mode::RWXU)?;
            let inner = openat(from, name, DIRECTORY, Mode::empty())?;
            let made = openat(to, name, DIRECTORY, Mode::empty())?;
            copy_directory(&inner, made.as_fd())
        }
        FileType::RegularFile => copy_file(from, to, name, &stat),
        FileType::Symlink => {
            let target = readlinkat(from, name, Vec::new())?;
            symlinkat(target.as_c_str(), to, name)?;
            let (uid, gid) = owner(&stat);
            Ok(chownat(to, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?)
        }
        kind => {
            mknodat(to, name, kind, Mode::from_raw_mode(stat.st_mode), stat.st_rdev)?;
            let (uid, gid) = owner(&stat);
            chownat(to, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            let mode = Mode::from_raw_mode(stat.st_mode);
            Ok(rustix::fs::chmodat(to, name, mode, AtFlags::empty())?)
        }
    }
}

fn copy_file(from: &OwnedFd, to: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> io::Result<()> {
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = openat(from, name, read, Mode::empty())?;
    let target = openat(to, name, write, Mode::RUSR | Mode::WUSR)?;
    copy_attributes(source.as_fd(), target.as_fd())?;
    let (mut source, mut target) = (File::from(source), File::from(target));
    io::copy(&mut source, &mut target)?;
    set_metadata(target.as_fd(), stat)
}

/// The owner first: changing it clears setuid bits.
fn set_metadata(file: BorrowedFd<'_>, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = owner(stat);
    fchown(file, uid, gid)?;
    fchmod(file, Mode::from_raw_mode(stat.st_mode))?;
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or_default(),
    };
    futimens(
        file,
        &Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
        },
    )?;
    Ok(())
}

fn owner(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

/// File capabilities and the user's own attributes; what belongs to the overlay stays behind.
fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut names = vec![0u8; 64 << 10];
    let Ok(length) = flistxattr(from, &mut names) else {
        return Ok(());
    };
    let listed = names.get(..length).unwrap_or_default();
    for name in listed.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        if !name.starts_with(b"user.") && name != b"security.capability" {
            continue;
        }
        let mut value = vec![0u8; 64 << 10];
        let length = fgetxattr(from, name, &mut value)?;
        let value = value.get(..length).unwrap_or_default();
        fsetxattr(to, name, value, rustix::fs::XattrFlags::empty())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn modes_links_and_contents_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("sub/file"), "content").unwrap();
        fs::set_permissions(from.join("sub/file"), fs::Permissions::from_mode(0o4750)).unwrap();
        fs::set_permissions(from.join("sub"), fs::Permissions::from_mode(0o711)).unwrap();
        symlink("/nowhere", from.join("link")).unwrap();
        let open = |path| File::open(path).unwrap();
        copy_tree(open(&from).as_fd(), open(&to).as_fd()).unwrap();
        assert_eq!(fs::read_to_string(to.join("sub/file")).unwrap(), "content");
        let mode = |path: &str| fs::symlink_metadata(to.join(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("sub/file"), mode("sub")), (0o4750, 0o711));
        assert_eq!(fs::read_link(to.join("link")).unwrap().to_str(), Some("/nowhere"));
    }
}
