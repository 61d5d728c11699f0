//! Work inside another network namespace.
//!
//! Entering a namespace changes the calling thread only, and a thread that entered one must not be
//! used for anything else. So the work runs on a thread made for it, which ends with the work.

use crate::Error;
use rustix::fd::BorrowedFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs `work` on a new thread inside the network namespace that `namespace` refers to
/// (`/proc/PID/ns/net` or a bind mount of it), and waits for it.
///
/// Sockets opened in there belong to that namespace for ever and may be returned.
///
/// # Errors
/// [`Error::Namespace`] if it cannot be entered, [`Error::Thread`] if the thread cannot be made or
/// panics.
pub fn run_in<T: Send>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, || {
                move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network)).map_err(Error::Namespace)?;
                Ok(work())
            })
            .map_err(|_| Error::Thread)?
            .join()
            .map_err(|_| Error::Thread)?
    })
}
