//! Handing everything to a new copy of PID 1: state as JSON in a memfd, descriptors by number. The new copy may be a
//! later version, so fields are only added, each with a default.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use keelson_sys::handover;
use serde::{Deserialize, Serialize};

use super::control::Kept;
use crate::manager::Manager;

/// What a copy leaves to the next.
#[derive(Debug, Serialize, Deserialize)]
pub struct Handover {
    /// The supervisor.
    pub manager: Manager,
    /// Readiness socket.
    pub notify: i32,
    /// Control socket.
    pub control: i32,
    /// Control connections.
    pub connections: Vec<Kept>,
    /// Number of the next control connection.
    pub next_connection: u32,
    /// Sockets kept for units.
    pub sockets: BTreeMap<String, Vec<i32>>,
    /// Status pipes of units that are just being executed.
    pub pipes: BTreeMap<String, i32>,
}

impl Handover {
    /// Writes it to a memfd that stays open over `execve`, as do the descriptors it names.
    ///
    /// # Errors
    /// What the kernel says; nothing has changed for this copy then.
    pub fn write(&self) -> io::Result<File> {
        handover::write("keelson-init", &serde_json::to_vec(self)?)
    }

    /// Reads what the copy before this one left.
    ///
    /// # Errors
    /// If it cannot be understood.
    pub fn read(memfd: OwnedFd) -> io::Result<Self> {
        serde_json::from_reader(File::from(memfd)).map_err(io::Error::other)
    }
}
