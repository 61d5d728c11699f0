//! One process of the container as the shim knows it: its descriptor, streams, end, and who waits for that.

use crate::streams::{Input, KeptInput, KeptOutput, Output};
use keelson_shim_api::ExitRecord;
use keelson_sys::handover::leave_open;
use keelson_sys::spawn::take_left_open;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::OwnedFd;

/// A request waiting for the end of a process.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
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

/// One as it is left to a new copy.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeptProcess {
    name: Option<String>,
    pid: i32,
    pidfd: i32,
    terminal: Option<i32>,
    outputs: Vec<KeptOutput>,
    input: KeptInput,
    started_at: Option<u64>,
    exit: Option<ExitRecord>,
    waiters: Vec<Waiter>,
}

impl Process {
    /// Leaves it to a new copy.
    pub fn keep(&self) -> io::Result<KeptProcess> {
        Ok(KeptProcess {
            name: self.name.clone(),
            pid: self.pid,
            pidfd: leave_open(&self.pidfd)?,
            terminal: self.terminal.as_ref().map(leave_open).transpose()?,
            outputs: self.outputs.iter().map(Output::keep).collect::<io::Result<_>>()?,
            input: self.input.keep()?,
            started_at: self.started_at,
            exit: self.exit.clone(),
            waiters: self.waiters.clone(),
        })
    }

    /// Takes it up; `None` if it was not left.
    pub fn resume(kept: KeptProcess) -> Option<Self> {
        Some(Self {
            name: kept.name,
            pid: kept.pid,
            pidfd: take_left_open(kept.pidfd)?,
            terminal: kept.terminal.and_then(take_left_open),
            outputs: kept.outputs.into_iter().map(Output::resume).collect(),
            input: Input::resume(kept.input),
            started_at: kept.started_at,
            exit: kept.exit,
            waiters: kept.waiters,
        })
    }

    /// Whether nothing is left to do for it.
    pub fn is_finished(&self) -> bool {
        self.exit.is_some()
            && self
                .outputs
                .iter()
                .all(|output| output.source.is_none() && output.sinks.is_empty())
    }
}
