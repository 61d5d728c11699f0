//! The shim becomes a new copy of itself beside a running container: state as JSON in a memfd, descriptors by number. The
//! new copy may be a later version, so fields are only added, each with a default.

use crate::client::{Client, KeptClient};
use crate::launch::hold_signals;
use crate::oom::OomWatch;
use crate::process::{KeptProcess, Process, Waiter};
use crate::server::Server;
use crate::streams::Logs;
use crate::wire::{conflict, internal};
use anyhow::Context;
use keelson_oci::Container;
use keelson_shim_api::{Failure, Outcome, ShimConfig};
use keelson_sys::exec_attributes::close_on_exec_from;
use keelson_sys::handover::{leave_open, write};
use keelson_sys::spawn::take_left_open;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Before the number of the memfd on the new copy's command line.
pub const FLAG: &str = "--resume";

/// Descriptors from here on are closed over `execve` unless they are left.
const FIRST: u32 = 3;

/// What a copy leaves to the next.
#[derive(Debug, Serialize, Deserialize)]
struct Handover {
    config: ShimConfig,
    listener: i32,
    processes: Vec<KeptProcess>,
    clients: Vec<KeptClient>,
    next_client: u64,
    oom_kills: u64,
    is_oom_killed: bool,
    /// Lines for the journal, and how many were dropped.
    #[serde(default)]
    journal: Option<(Vec<Vec<u8>>, u64)>,
    /// Who asked for the new copy.
    asked: Waiter,
}

impl Server {
    /// Returns only if there is no new copy; this one goes on then.
    pub(crate) fn reexec(&mut self, asked: Waiter, program: &Path) -> Failure {
        if self.created.is_some() || self.container.is_none() {
            return conflict("the container is not running");
        }
        self.clients.retain_mut(Client::flush);
        if self.clients.iter().any(Client::has_unsent) {
            return conflict("a client has not taken its answers yet");
        }
        let Err(error) = self.execute(asked, program);
        let _ = close_on_exec_from(FIRST);
        internal(&error.context("there is no new copy; this one goes on"))
    }

    fn execute(&self, asked: Waiter, program: &Path) -> anyhow::Result<Infallible> {
        let state = serde_json::to_vec(&self.leave(asked).context("leave descriptors open")?)?;
        let memfd = write("keelson-shim", &state).context("write the state")?;
        let word = |text: &OsStr| CString::new(text.as_bytes()).context("a word holds a zero");
        let path = word(program.as_os_str())?;
        let number = word(OsStr::new(&memfd.as_raw_fd().to_string()))?;
        // Unlike the standard library's, this keeps the mask of signals: none gets through in between.
        let words = [c"keelson-shim".to_owned(), word(OsStr::new(FLAG))?, number];
        nix::unistd::execv(&path, &words).with_context(|| format!("execute {}", program.display()))
    }

    fn leave(&self, asked: Waiter) -> io::Result<Handover> {
        Ok(Handover {
            config: self.config.clone(),
            listener: leave_open(&self.listener)?,
            processes: self.processes.iter().map(Process::keep).collect::<io::Result<_>>()?,
            clients: self.clients.iter().map(Client::keep).collect::<io::Result<_>>()?,
            next_client: self.next_client,
            oom_kills: self.oom.seen(),
            is_oom_killed: self.oom.happened,
            journal: self.logs.journal.as_ref().map(|journal| journal.keep()),
            asked,
        })
    }
}

/// Takes up what the copy before this one left in descriptor `number`, and answers who asked for it.
pub fn resume(number: &OsStr) -> anyhow::Result<Server> {
    let number = number.to_str().and_then(|text| text.parse().ok());
    let memfd = number.and_then(take_left_open).context("nothing was left to take up")?;
    let left: Handover = serde_json::from_reader(File::from(memfd)).context("read the state")?;
    let listener = take_left_open(left.listener).context("the socket was not left")?;
    let container = Container::load(&left.config.runtime_root, &left.config.id).context("find the container")?;
    let mut logs = Logs::new(&left.config);
    if let (Some(journal), Some(kept)) = (&mut logs.journal, left.journal) {
        journal.resume(kept);
    }
    let mut server = Server {
        listener: UnixListener::from(listener),
        signals: hold_signals()?,
        oom: OomWatch::resume(container.group(), left.oom_kills, left.is_oom_killed),
        container: Some(container),
        created: None,
        processes: left.processes.into_iter().filter_map(Process::resume).collect(),
        logs,
        clients: left.clients.into_iter().filter_map(Client::resume).collect(),
        next_client: left.next_client,
        buffer: Vec::new(),
        is_done: false,
        config: left.config,
    };
    server.answer(left.asked.client, left.asked.request, Outcome::Done, &[]);
    // An end that came in between has sent its signal already.
    server.collect();
    server.attend_buffered();
    Ok(server)
}
