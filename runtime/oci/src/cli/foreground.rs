//! Waiting for a program in the foreground: signals go to it, its terminal is shown on ours, its exit code is ours.

use anyhow::Context;
use keelson_sys::pidfd_signal;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use std::os::fd::{AsFd, OwnedFd};

/// From now on signals are read, not delivered (a cloned process resets that before its program).
pub fn hold_signals(detach: bool) -> anyhow::Result<Option<SignalFd>> {
    if detach {
        return Ok(None);
    }
    let mut signals = SigSet::all();
    for kept in [
        Signal::SIGCHLD,
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGILL,
        Signal::SIGFPE,
        Signal::SIGPIPE,
    ] {
        signals.remove(kept);
    }
    signals.thread_block().context("cannot hold signals")?;
    Ok(Some(
        SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).context("cannot read signals")?,
    ))
}

/// Waits for the end of a child of ours.
pub fn wait(process: &OwnedFd, console: Option<&OwnedFd>, signals: Option<SignalFd>) -> anyhow::Result<u8> {
    let raw = console.map(|_| Raw::enter());
    let mut relay = Relay {
        input_open: console.is_some(),
        output_open: console.is_some(),
    };
    if let Some(console) = console {
        copy_size(console);
    }
    loop {
        let mut fds = vec![PollFd::new(process, PollFlags::IN)];
        if let Some(signals) = &signals {
            fds.push(PollFd::new(signals, PollFlags::IN));
        }
        let console_at = fds.len();
        if let Some(console) = console {
            let wanted = if relay.output_open {
                PollFlags::IN
            } else {
                PollFlags::empty()
            };
            fds.push(PollFd::new(console, wanted));
        }
        if relay.input_open {
            fds.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            other => other.context("cannot wait")?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let is_ready = |at: usize| ready.get(at).copied().unwrap_or(false);
        if let Some(console) = console {
            if relay.output_open && is_ready(console_at) {
                relay.output_open = copy(console.as_fd(), rustix::stdio::stdout());
                continue;
            }
            if relay.input_open && is_ready(console_at + 1) {
                relay.input_open = copy(rustix::stdio::stdin(), console.as_fd());
            }
        }
        if let (Some(signals), true) = (&signals, is_ready(1)) {
            pass_signal(signals, process, console);
        }
        if is_ready(0) {
            drop(raw);
            return exit_code(process);
        }
    }
}

struct Relay {
    input_open: bool,
    output_open: bool,
}

/// Copies what is there; false at the end.
fn copy(from: rustix::fd::BorrowedFd<'_>, to: rustix::fd::BorrowedFd<'_>) -> bool {
    let mut bytes = [0; 4096];
    let Ok(length) = rustix::io::read(from, &mut bytes) else {
        return false;
    };
    let mut rest = bytes.get(..length).unwrap_or_default();
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    length > 0
}

fn pass_signal(signals: &SignalFd, process: &OwnedFd, console: Option<&OwnedFd>) {
    let Ok(Some(signal)) = signals.read_signal() else {
        return;
    };
    let number = i32::try_from(signal.ssi_signo).unwrap_or_default();
    match console {
        Some(console) if number == Signal::SIGWINCH as i32 => copy_size(console),
        _ => {
            let _ = pidfd_signal::send(process.as_fd(), number);
        }
    }
}

fn copy_size(console: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
        let _ = tcsetwinsize(console, size);
    }
}

fn exit_code(process: &OwnedFd) -> anyhow::Result<u8> {
    loop {
        match waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("cannot collect the exit status"),
            Ok(None) => anyhow::bail!("there is no exit status"),
            Ok(Some(status)) => {
                let code = status
                    .exit_status()
                    .or(status.terminating_signal().map(|signal| 128 + signal))
                    .unwrap_or(255);
                return Ok(u8::try_from(code).unwrap_or(255));
            }
        }
    }
}

/// Our terminal in raw mode, until dropped.
struct Raw {
    before: Option<Termios>,
}

impl Raw {
    fn enter() -> Self {
        let stdin = rustix::stdio::stdin();
        let before = if isatty(stdin) { tcgetattr(stdin).ok() } else { None };
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            let _ = tcsetattr(stdin, OptionalActions::Now, &raw);
        }
        Self { before }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, before);
        }
    }
}
