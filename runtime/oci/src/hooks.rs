//! Hooks of the specification: programs that get the state document on their standard input, and a deadline.

use crate::error::{Error, Result, Step};
use oci_spec::runtime::{Hook, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How much of a failed hook's error output is quoted, in bytes.
const QUOTED: u64 = 1024;

/// `hooks.prestart` and `hooks.createRuntime`: in the runtime's namespaces, mounts done, root not yet changed.
pub fn create_runtime(spec: &Spec) -> Vec<Hook> {
    // Deprecated, and still what older tools write.
    #[allow(deprecated)]
    let first = spec.hooks().as_ref().and_then(|hooks| hooks.prestart().clone());
    let second = spec.hooks().as_ref().and_then(|hooks| hooks.create_runtime().clone());
    first.into_iter().chain(second).flatten().collect()
}

/// `hooks.createContainer`: in the container's namespaces, root not yet changed.
pub fn create_container(spec: &Spec) -> Vec<Hook> {
    spec.hooks()
        .as_ref()
        .and_then(|hooks| hooks.create_container().clone())
        .unwrap_or_default()
}

/// `hooks.startContainer`: in the container, before its program.
pub fn start_container(spec: &Spec) -> Vec<Hook> {
    spec.hooks()
        .as_ref()
        .and_then(|hooks| hooks.start_container().clone())
        .unwrap_or_default()
}

/// `hooks.poststart`: in the runtime's namespaces, after the program was started.
pub fn poststart(spec: &Spec) -> Vec<Hook> {
    spec.hooks()
        .as_ref()
        .and_then(|hooks| hooks.poststart().clone())
        .unwrap_or_default()
}

/// `hooks.poststop`: in the runtime's namespaces, after the container was removed.
pub fn poststop(spec: &Spec) -> Vec<Hook> {
    spec.hooks()
        .as_ref()
        .and_then(|hooks| hooks.poststop().clone())
        .unwrap_or_default()
}

/// Runs hooks in order; the first that fails ends it.
pub fn run_all(which: &str, hooks: Vec<Hook>, state: &[u8]) -> Result<()> {
    for hook in hooks {
        log::debug!(which, path:% = hook.path().display(); "running hook");
        run(&hook, state)?;
    }
    Ok(())
}

/// Runs every hook; failures are logged.
pub fn run_all_tolerantly(which: &str, hooks: Vec<Hook>, state: &[u8]) {
    for hook in hooks {
        if let Err(error) = run(&hook, state) {
            log::warn!(which, error:% = error.chain(); "hook failed");
        }
    }
}

fn run(hook: &Hook, state: &[u8]) -> Result<()> {
    let path = hook.path();
    if !path.is_absolute() {
        return Err(Error::Hook {
            path: path.clone(),
            reason: "its path is not absolute".to_owned(),
        });
    }
    let mut child = command(hook).spawn().step("start hook", path)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook that does not read is free not to.
        let _ = stdin.write_all(state);
    }
    let timeout = hook
        .timeout()
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map(Duration::from_secs);
    let status = await_exit(&mut child, timeout).step("wait for hook", path)?;
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(QUOTED).read_to_string(&mut said);
    }
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Error::Hook {
            path: path.clone(),
            reason: format!("{status} {}", said.trim()),
        }),
        None => Err(Error::Hook {
            path: path.clone(),
            reason: "it ran longer than its timeout".to_owned(),
        }),
    }
}

fn command(hook: &Hook) -> Command {
    let mut command = Command::new(hook.path());
    let arguments = hook.args().clone().unwrap_or_default();
    if let Some((name, rest)) = arguments.split_first() {
        command.arg0(name).args(rest);
    }
    command.env_clear();
    for (name, value) in hook.env().iter().flatten().filter_map(|entry| entry.split_once('=')) {
        command.env(name, value);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// `None` if it had to be killed.
fn await_exit(child: &mut Child, timeout: Option<Duration>) -> std::io::Result<Option<ExitStatus>> {
    let Some(timeout) = timeout else {
        return child.wait().map(Some);
    };
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(std::io::ErrorKind::InvalidInput)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(0) => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            Ok(_) => return child.wait().map(Some),
        }
    }
}
