//! One attached reader of an output: a pipe, and what it has not taken yet.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// The writing end of an attached client's pipe.
#[derive(Debug)]
pub struct Sink {
    /// Non-blocking.
    pub fd: OwnedFd,
    pending: Vec<u8>,
}

impl Sink {
    /// Over the writing end.
    pub fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            pending: Vec::new(),
        }
    }

    /// Whether it has taken everything.
    pub fn is_drained(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether someone still holds the reading end.
    pub fn has_reader(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::empty())];
        let asked = poll(&mut fds, Some(&Timespec::default()));
        asked.is_ok() && fds.iter().all(|fd| fd.revents().is_empty())
    }

    /// Gives it bytes; false if the reader is gone.
    pub fn give(&mut self, bytes: &[u8]) -> bool {
        self.pending.extend_from_slice(bytes);
        self.flush()
    }

    /// Writes what is pending as far as it goes; false if the reader is gone.
    pub fn flush(&mut self) -> bool {
        let mut done = 0;
        let alive = loop {
            let rest = self.pending.get(done..).unwrap_or_default();
            if rest.is_empty() {
                break true;
            }
            match rustix::io::write(&self.fd, rest) {
                Ok(written) => done += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break true,
                Err(_) => break false,
            }
        };
        self.pending.drain(..done);
        alive
    }
}
