//! Reading and making things inside a container's root without leaving it: every path is resolved
//! by the kernel with the root as its root (openat2, `RESOLVE_IN_ROOT`), so no link and no `..` of
//! an image reaches the host.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2};

/// Most that is read of `/etc/passwd` and `/etc/group`.
const MOST: u64 = 4 << 20;

/// A root directory on the host.
#[derive(Debug)]
pub struct Rootfs {
    root: OwnedFd,
    path: PathBuf,
}

impl Rootfs {
    /// Opens the directory `path`.
    ///
    /// # Errors
    /// It is no directory, or out of reach.
    pub fn open(path: &Path) -> io::Result<Rootfs> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, path, flags, Mode::empty())?;
        Ok(Rootfs {
            root,
            path: path.to_owned(),
        })
    }

    /// Where it lies on the host.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of a regular file; an absent file, or one that is no regular file, is empty.
    ///
    /// # Errors
    /// It is there but cannot be read.
    pub fn read_text(&self, path: &str) -> io::Result<String> {
        let opened = self.open_in(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC);
        let file = match opened {
            Ok(fd) => File::from(fd),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOTDIR.raw_os_error()) => {
                return Ok(String::new());
            }
            Err(error) => return Err(error),
        };
        if !file.metadata()?.is_file() {
            return Ok(String::new());
        }
        let mut bytes = vec![];
        file.take(MOST).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A descriptor (`O_PATH`) of a directory in the root; `None` when there is none.
    pub fn directory(&self, path: &str) -> Option<OwnedFd> {
        self.open_in(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)
            .ok()
    }

    /// Makes the directory and its parents where missing, with mode 0755, owned by root.
    ///
    /// # Errors
    /// A part of the path is something else, or the root is read-only.
    pub fn make_directory(&self, path: &str) -> io::Result<()> {
        let mut so_far = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let parent = if so_far.is_empty() { "/" } else { so_far.as_str() };
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let parent = self.open_in(parent, flags)?;
            match mkdirat(parent.as_fd(), part, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            so_far = format!("{so_far}/{part}");
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.open_in(path, flags).map(|_| ())
    }

    fn open_in(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(self.root.as_fd(), path, flags, Mode::empty(), resolve)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_do_not_leave_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let outside = directory.path().join("secret");
        std::fs::write(&outside, "host").unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        symlink(&outside, root.join("etc/passwd")).unwrap();
        symlink("../../secret", root.join("etc/group")).unwrap();
        let rootfs = Rootfs::open(&root).unwrap();
        assert_eq!(rootfs.read_text("/etc/passwd").unwrap(), "");
        assert_eq!(rootfs.read_text("/etc/group").unwrap(), "");
        std::fs::create_dir_all(root.join("real")).unwrap();
        std::fs::write(root.join("real/file"), "inside").unwrap();
        symlink("/real/file", root.join("etc/link")).unwrap();
        assert_eq!(rootfs.read_text("/etc/link").unwrap(), "inside");
    }

    #[test]
    fn directories_are_made_inside() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir_all(&root).unwrap();
        symlink("/", root.join("up")).unwrap();
        let rootfs = Rootfs::open(&root).unwrap();
        rootfs.make_directory("/up/a/b").unwrap();
        assert!(root.join("a/b").is_dir());
        assert!(rootfs.directory("/a/b").is_some() && rootfs.directory("/c").is_none());
    }
}
