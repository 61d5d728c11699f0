//! Starting a unit: the exec helper, in the unit's control group, with its specification in a memfd, its sockets, and a
//! status pipe whose other end PID 1 keeps.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use keelson_sys::spawn::{Program, spawn};
use rustix::fs::MemfdFlags;
use rustix::pipe::PipeFlags;

use crate::exec::spec::{ExecSpec, WithoutJournal};
use crate::unit::{Service, Unit};

/// This very program; exact even if its file was replaced.
const SELF: &str = "/proc/self/exe";
/// A status message is one line.
const STATUS_BYTES: usize = 512;

/// What the helper said so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing yet.
    Silent,
    /// It became the program.
    Executed,
    /// It could not.
    Failed(String),
}

/// What a unit's process is told.
#[must_use]
pub fn plan_spec(unit: &Unit, service: &Service, notify: &Path, without_journal: WithoutJournal) -> ExecSpec {
    let mut environment = BTreeMap::from([
        ("PATH".to_owned(), "/usr/bin:/usr/sbin".to_owned()),
        ("NOTIFY_SOCKET".to_owned(), notify.to_string_lossy().into_owned()),
    ]);
    if let Some(interval) = service.watchdog {
        environment.insert("WATCHDOG_USEC".to_owned(), interval.as_micros().to_string());
    }
    environment.extend(service.environment.clone());
    ExecSpec {
        unit: unit.name.clone(),
        exec: service.exec.clone(),
        user: service.user.clone(),
        groups: service.groups.clone(),
        capabilities: service.capabilities.clone(),
        no_new_privs: service.no_new_privs,
        seccomp: service.seccomp,
        environment,
        stdout: service.stdout,
        without_journal,
        oom_score_adj: unit.resources.oom_score_adj,
        sockets: unit.sockets.iter().map(|socket| socket.name.clone()).collect(),
    }
}

/// Starts the helper; gives its pid and the status pipe.
///
/// # Errors
/// What the kernel says.
pub fn start(spec: &ExecSpec, group: BorrowedFd<'_>, sockets: &[OwnedFd]) -> io::Result<(i32, OwnedFd)> {
    let specification = write_spec(spec)?;
    let (status, status_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let word = |text: &str| CString::new(text).map_err(io::Error::other);
    let mut descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
    descriptors.extend([specification.as_fd(), status_end.as_fd()]);
    let program = Program {
        path: word(SELF)?,
        arguments: vec![word("keelson-init")?, word("exec")?, word(&sockets.len().to_string())?],
        environment: Vec::new(),
        group,
        descriptors,
    };
    let pid = spawn(&program)?;
    Ok((pid, status))
}

fn write_spec(spec: &ExecSpec) -> io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("unit", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(spec)?)?;
    Ok(file.into())
}

/// Reads the status pipe without waiting.
#[must_use]
pub fn read_status(pipe: &OwnedFd) -> Status {
    let mut bytes = [0; STATUS_BYTES];
    match rustix::io::read(pipe, &mut bytes) {
        Ok(0) => Status::Executed,
        Ok(length) => Status::Failed(String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned()),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Status::Silent,
        Err(error) => Status::Failed(format!("status pipe: {error}")),
    }
}
