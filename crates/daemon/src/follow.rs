//! Hears when the configuration in force is written anew.

use crate::readable::Readable;
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Room for some events; more are read by the next call.
const ROOM: usize = 4096;

/// A file whose directory is watched: it is replaced, not written.
#[derive(Debug)]
pub struct Follower {
    readable: Readable,
    name: OsString,
}

impl Follower {
    /// Watches the directory of `file`.
    ///
    /// # Errors
    /// The kernel's; the directory is not there.
    pub fn watch(file: &Path) -> io::Result<Self> {
        let (directory, name) = file.parent().zip(file.file_name()).ok_or(io::ErrorKind::InvalidInput)?;
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        add_watch(&inotify, directory, WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE)?;
        Ok(Self {
            readable: Readable::watch(&inotify)?,
            name: name.to_owned(),
        })
    }

    /// Ends when the file may have changed.
    pub async fn changed(&self) -> io::Result<()> {
        while !self.readable.read(|fd| self.hears(fd)).await? {}
        Ok(())
    }

    /// Whether an event speaks of the file. Events waiting are read until none is left.
    fn hears(&self, fd: rustix::fd::BorrowedFd<'_>) -> Result<bool, Errno> {
        let mut room = [MaybeUninit::uninit(); ROOM];
        let mut reader = Reader::new(fd, &mut room);
        let mut heard = None;
        loop {
            match reader.next() {
                Ok(event) => {
                    let of_file = event
                        .file_name()
                        .is_none_or(|name| name.to_bytes() == self.name.as_bytes());
                    heard = Some(heard.unwrap_or(false) || of_file);
                }
                Err(Errno::INTR) => {}
                Err(error) => return heard.ok_or(error),
            }
        }
    }
}

/// As [`Follower::changed`], and never when there is nothing to follow.
pub async fn changed(follower: Option<&Follower>) {
    let heard = match follower {
        Some(follower) => follower.changed().await,
        None => return std::future::pending().await,
    };
    if let Err(error) = heard {
        log::warn!(error:%; "changes of the configuration are not noticed any more");
        std::future::pending::<()>().await;
    }
}
