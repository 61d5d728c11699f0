//! Waits until a descriptor that tokio has no type for can be read.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::io;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor watched for input.
#[derive(Debug)]
pub struct Readable(AsyncFd<OwnedFd>);

impl Readable {
    /// Watches a duplicate of `fd`, which must not block.
    ///
    /// # Errors
    /// The kernel's; outside a runtime.
    #[allow(
        deprecated,
        reason = "deprecated for types that may change their descriptor; OwnedFd cannot"
    )]
    pub fn watch(fd: impl AsFd) -> io::Result<Self> {
        let own = fd.as_fd().try_clone_to_owned()?;
        AsyncFd::with_interest(own, Interest::READABLE).map(Self)
    }

    /// Calls `read` whenever there is input, until it returns anything but EAGAIN.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn read<T>(&self, mut read: impl FnMut(BorrowedFd<'_>) -> Result<T, Errno>) -> io::Result<T> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(outcome) = ready.try_io(|fd| Ok(read(fd.get_ref().as_fd())?)) {
                return outcome;
            }
        }
    }
}

impl AsFd for Readable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}
