//! Network namespaces that exist before any process of their container does: made by a thread that
//! ends at once, kept alive by a bind mount under a name of the engine.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} network namespace {}", path.display())]
pub struct NetnsError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Makes a network namespace and pins it at `path`, whose directory must exist.
///
/// # Errors
/// The namespace cannot be made or pinned; nothing is left behind.
pub fn create(path: &Path) -> Result<OwnedFd, NetnsError> {
    let failed = |action| {
        move |source| NetnsError {
            action,
            path: path.to_owned(),
            source,
        }
    };
    File::create(path).map_err(failed("name"))?;
    let pinned = std::thread::scope(|scope| {
        scope
            .spawn(|| -> io::Result<()> {
                // Only this thread changes its namespace, and it ends here.
                unshare(CloneFlags::CLONE_NEWNET)?;
                let own = "/proc/thread-self/ns/net";
                mount(Some(own), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
                Ok(())
            })
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
    });
    if let Err(source) = pinned {
        let _ = fs::remove_file(path);
        return Err(failed("make")(source));
    }
    open(path)
}

/// Opens a pinned namespace.
///
/// # Errors
/// There is none at `path`.
pub fn open(path: &Path) -> Result<OwnedFd, NetnsError> {
    let failed = |source| NetnsError {
        action: "open",
        path: path.to_owned(),
        source,
    };
    File::open(path).map(OwnedFd::from).map_err(failed)
}

/// Lets go of a pinned namespace; it ends with its last process. Absent ones are fine.
///
/// # Errors
/// It cannot be unmounted or its name cannot be removed.
pub fn remove(path: &Path) -> Result<(), NetnsError> {
    let failed = |source| NetnsError {
        action: "remove",
        path: path.to_owned(),
        source,
    };
    match umount2(path, MntFlags::MNT_DETACH) {
        Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => {}
        Err(errno) => return Err(failed(errno.into())),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}
