//! One process of the container as the shim knows it: its descriptor, streams, end, and who waits for that.

use crate::streams::{Input, Output};
use keelson_shim_api::ExitRecord;
use std::os::fd::OwnedFd;

/// A request waiting for the end of a process.
#[derive(Debug, Clone, Copy)]
pub struct Waiter {
    /// The connection.
    pub client: u64,
    /// The request on it.
    pub request: u64,
}

/// The first process or an exec.
#[derive(Debug)]
pub struct Process {
    /// Exec id; `None` for the first process.
    pub name: Option<String>,
    /// Number in the host's pid namespace.
    pub pid: i32,
    /// Descriptor.
    pub pidfd: OwnedFd,
    /// Master of its terminal.
    pub terminal: Option<OwnedFd>,
    /// Outputs the shim reads.
    pub outputs: Vec<Output>,
    /// Input the shim feeds.
    pub input: Input,
    /// Nanoseconds since 1970.
    pub started_at: Option<u64>,
    /// Its end.
    pub exit: Option<ExitRecord>,
    /// Who waits.
    pub waiters: Vec<Waiter>,
}

impl Process {
    /// Whether nothing is left to do for it.
    pub fn is_finished(&self) -> bool {
        self.exit.is_some()
            && self
                .outputs
                .iter()
                .all(|output| output.source.is_none() && output.sinks.is_empty())
    }
}
