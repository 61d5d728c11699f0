//! The exec helper: does in a fresh process what must happen between fork and exec, so that PID 1 never does. Reads
//! what to become from a memfd, sets itself up step by step, and executes the program. The close-on-exec status pipe
//! carries the failed step and its error; closing empty means that the program runs.

pub mod filter;
pub mod identity;
pub mod spec;
pub mod streams;

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use keelson_sys::passed_fds::FIRST;
use nix::sys::signal::SigSet;
use rustix::process::{Resource, Rlimit};

use crate::accounts;
use spec::ExecSpec;

/// Descriptors a unit may open; the kernel's default of 1024 is too few for an engine.
const MOST_OPEN_FILES: u64 = 524_288;
/// Soft limit, for programs that size tables by it.
const USUAL_OPEN_FILES: u64 = 65_536;

/// A step that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}: {source}")]
struct StepError {
    step: String,
    #[source]
    source: io::Error,
}

/// Runs the helper with the number of passed sockets as its argument. Returns only on failure.
#[must_use]
pub fn run() -> ExitCode {
    let sockets: Option<i32> = std::env::args().nth(2).and_then(|text| text.parse().ok());
    let first = sockets.and_then(|count| FIRST.checked_add(count));
    let Some((specification, status)) = first.and_then(keelson_sys::spawn::take_pair) else {
        return ExitCode::from(127);
    };
    let Err(error) = become_program(specification);
    // PID 1 reads it from the pipe; if it does not listen any more, nobody does.
    let _ = File::from(status).write_all(error.to_string().as_bytes());
    ExitCode::from(127)
}

fn become_program(specification: OwnedFd) -> Result<std::convert::Infallible, StepError> {
    let spec = read_spec(specification).map_err(step("read the specification"))?;
    // A new session: no signal from a terminal, and no terminal to steal.
    let _ = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    rustix::process::chdir("/").map_err(errno("change to /"))?;
    streams::connect(&spec).map_err(step("connect standard output"))?;
    set_limits(&spec)?;
    let identity = read_identity(&spec)?;
    let powers = identity::decide_powers(spec.capabilities.as_deref(), identity.uid);
    identity::become_identity(&identity, powers).map_err(|(name, source)| errno(name)(source))?;
    if spec.no_new_privs {
        rustix::thread::set_no_new_privs(true).map_err(errno("set no_new_privs"))?;
    }
    // PID 1 blocks the signals it reads; a program starts with none blocked.
    SigSet::empty()
        .thread_set_mask()
        .map_err(|errno| step("unblock signals")(errno.into()))?;
    let mut command = command(&spec)?;
    // Last: the filter need not allow anything above.
    filter::install(spec.seccomp).map_err(step("install the system call filter"))?;
    let source = command.exec();
    let program = spec.exec.first().map(String::as_str).unwrap_or_default();
    Err(StepError {
        step: format!("execute {program}"),
        source,
    })
}

fn read_spec(specification: OwnedFd) -> io::Result<ExecSpec> {
    let mut file = File::from(specification);
    file.rewind()?;
    serde_json::from_reader(file).map_err(io::Error::other)
}

fn set_limits(spec: &ExecSpec) -> Result<(), StepError> {
    if let Some(score) = spec.oom_score_adj {
        std::fs::write("/proc/self/oom_score_adj", score.to_string()).map_err(step("set oom_score_adj"))?;
    }
    let limit = Rlimit {
        current: Some(USUAL_OPEN_FILES),
        maximum: Some(MOST_OPEN_FILES),
    };
    // In a container the limit may be lower and out of reach; the inherited one does as well.
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
    Ok(())
}

fn read_identity(spec: &ExecSpec) -> Result<accounts::Identity, StepError> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let group = std::fs::read_to_string("/etc/group").unwrap_or_default();
    accounts::identity(&passwd, &group, &spec.user, &spec.groups).map_err(|source| StepError {
        step: format!("become user {}", spec.user),
        source: io::Error::other(source),
    })
}

fn command(spec: &ExecSpec) -> Result<Command, StepError> {
    let Some((program, arguments)) = spec.exec.split_first() else {
        let source = io::Error::from(io::ErrorKind::InvalidInput);
        return Err(step("find the program")(source));
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&spec.environment);
    if !spec.sockets.is_empty() {
        command.env("LISTEN_PID", std::process::id().to_string());
        command.env("LISTEN_FDS", spec.sockets.len().to_string());
        command.env("LISTEN_FDNAMES", spec.sockets.join(":"));
    }
    Ok(command)
}

fn step(name: &str) -> impl FnOnce(io::Error) -> StepError {
    let step = name.to_owned();
    move |source| StepError { step, source }
}

fn errno(name: &str) -> impl FnOnce(rustix::io::Errno) -> StepError {
    let step = step(name);
    move |source| step(source.into())
}
