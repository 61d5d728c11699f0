//! One attached reader of an output: a pipe, and what it has not taken yet.

use keelson_sys::handover::leave_open;
use keelson_sys::spawn::take_left_open;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::OwnedFd;

/// The writing end of an attached client's pipe.
#[derive(Debug)]
pub struct Sink {
    /// Non-blocking.
    pub fd: OwnedFd,
    pending: Vec<u8>,
}

/// One as it is left to a new copy.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeptSink {
    fd: i32,
    pending: Vec<u8>,
}

impl Sink {
    /// Leaves it to a new copy.
    pub fn keep(&self) -> io::Result<KeptSink> {
        Ok(KeptSink {
            fd: leave_open(&self.fd)?,
            pending: self.pending.clone(),
        })
    }

    /// Takes it up; `None` if it is not there.
    pub fn resume(kept: KeptSink) -> Option<Self> {
        Some(Self {
            fd: take_left_open(kept.fd)?,
            pending: kept.pending,
        })
    }

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
