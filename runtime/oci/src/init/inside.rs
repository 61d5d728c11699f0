//! Paths inside the container's root: every lookup is confined by the kernel (openat2 with RESOLVE_IN_ROOT and
//! NO_MAGICLINKS), and what is acted on is the descriptor, never the name again.

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, readlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Links followed while making directories.
const MOST_LINKS: u32 = 40;

/// A root directory to look below.
#[derive(Debug, Clone, Copy)]
pub struct Inside<'fd> {
    root: BorrowedFd<'fd>,
}

impl<'fd> Inside<'fd> {
    /// Below this directory.
    pub fn new(root: BorrowedFd<'fd>) -> Self {
        Self { root }
    }

    /// Opens what a path names, links followed inside the root.
    pub fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match openat2(self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                // A rename somewhere raced with a lookup of "..".
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
    }

    /// A handle on what a path names, for mounting over.
    pub fn find(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.open(path, OFlags::PATH)
    }

    /// The directory of that path, made with those above it where missing; dangling links are followed.
    pub fn make_directory(&self, path: &Path, mode: u32) -> Result<OwnedFd, Errno> {
        self.make_directory_through(path, mode, MOST_LINKS)
    }

    fn make_directory_through(&self, path: &Path, mode: u32, links: u32) -> Result<OwnedFd, Errno> {
        let mut current = self.open(Path::new("/"), OFlags::PATH | OFlags::DIRECTORY)?;
        let mut reached = PathBuf::from("/");
        for name in path.components().filter_map(normal) {
            let parent = reached.clone();
            reached.push(name);
            current = match self.open(&reached, OFlags::PATH | OFlags::DIRECTORY) {
                Err(Errno::NOENT) => match mkdirat(&current, name, Mode::from_raw_mode(mode)) {
                    Ok(()) => self.open(&reached, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW)?,
                    Err(Errno::EXIST) => {
                        let target = link_target(current.as_fd(), name, &parent)?;
                        self.make_directory_through(&target, mode, links.checked_sub(1).ok_or(Errno::LOOP)?)?
                    }
                    Err(errno) => return Err(errno),
                },
                other => other?,
            };
        }
        Ok(current)
    }

    /// The file of that path, made empty with the directories above it where missing.
    pub fn make_file(&self, path: &Path) -> Result<OwnedFd, Errno> {
        match self.find(path) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let (parent, name) = split(path)?;
        let directory = self.make_directory(parent, 0o755)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&directory, name, flags, Mode::from_raw_mode(0o644)) {
            Ok(_) => self.find(path),
            // A dangling link: make what it names.
            Err(Errno::EXIST) => {
                let target = link_target(directory.as_fd(), name, parent)?;
                let (parent, name) = split(&target)?;
                let directory = self.make_directory(parent, 0o755)?;
                openat(&directory, name, flags, Mode::from_raw_mode(0o644))?;
                self.find(path)
            }
            Err(errno) => Err(errno),
        }
    }

    /// The directory a path stands in, made where missing, and its last name.
    pub fn make_parent<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr), Errno> {
        let (parent, name) = split(path)?;
        Ok((self.make_directory(parent, 0o755)?, name))
    }
}

fn normal(component: Component<'_>) -> Option<&OsStr> {
    match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    }
}

fn split(path: &Path) -> Result<(&Path, &OsStr), Errno> {
    Ok((
        path.parent().ok_or(Errno::INVAL)?,
        path.file_name().ok_or(Errno::INVAL)?,
    ))
}

fn link_target(directory: BorrowedFd<'_>, name: &OsStr, parent: &Path) -> Result<PathBuf, Errno> {
    let target = readlinkat(directory, name, Vec::new()).map_err(|_| Errno::NOTDIR)?;
    Ok(parent.join(OsStr::from_bytes(target.to_bytes())))
}

/// Removes a name if it is there and no directory.
pub fn remove_name(directory: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn with_root(check: impl FnOnce(&Path, Inside<'_>)) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir(&root).unwrap();
        let fd = rustix::fs::open(&root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        check(&root, Inside::new(fd.as_fd()));
        let outside: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(outside, ["root"], "nothing is made outside");
    }

    #[test]
    fn links_do_not_lead_out() {
        with_root(|root, inside| {
            symlink("../../outside", root.join("up")).unwrap();
            symlink("/run", root.join("var-run")).unwrap();
            symlink("loop", root.join("loop")).unwrap();
            inside.make_directory(Path::new("/up/x"), 0o755).unwrap();
            assert!(root.join("outside/x").is_dir());
            inside.make_file(Path::new("/var-run/a/b")).unwrap();
            assert!(root.join("run/a/b").is_file());
            assert!(inside.make_directory(Path::new("/loop/x"), 0o755).is_err());
            symlink("/etc/real", root.join("file")).unwrap();
            inside.make_file(Path::new("/file")).unwrap();
            assert!(root.join("etc/real").is_file());
        });
    }

    #[test]
    fn a_file_is_no_directory() {
        with_root(|root, inside| {
            fs::write(root.join("f"), "").unwrap();
            assert_eq!(
                inside.make_directory(Path::new("/f/x"), 0o755).unwrap_err(),
                Errno::NOTDIR
            );
        });
    }
}
