//! `docker run --init`: process 1 of a container that only passes signals on and collects orphans, so that the program
//! itself need not know how to be process 1. The engine mounts the shim's own program under this name.

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::process::{Command, ExitCode};

/// Its name in the container.
pub const NAME: &str = "docker-init";

/// A signal that the kernel sent by itself (asm-generic/siginfo.h): typed at a terminal, it reaches the program too.
const SI_KERNEL: i32 = 0x80;

/// Runs the command line after `--`; its exit code is ours.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let mut words = arguments.into_iter().skip_while(|word| word == "--");
    let Some(program) = words.next() else {
        return fail(2, "usage: docker-init -- PROGRAM [ARGUMENT…]");
    };
    let Ok(signals) = hold_signals() else {
        return fail(128, "docker-init: cannot hold signals");
    };
    let mut command = Command::new(&program);
    command.args(words);
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let code = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
            return fail(
                code,
                &format!("docker-init: exec {} failed: {error}", program.display()),
            );
        }
    };
    let Ok(pid) = i32::try_from(child.id()) else {
        return fail(128, "docker-init: no such process id");
    };
    loop {
        let Ok(Some(info)) = signals.read_signal() else {
            continue;
        };
        if let Some(code) = attend(&info, pid) {
            return ExitCode::from(code);
        }
    }
}

/// The program gets an empty mask: the standard library sees to it.
fn hold_signals() -> nix::Result<SignalFd> {
    let all = SigSet::all();
    all.thread_block()?;
    SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC)
}

/// Passes a signal on, or collects the dead; the program's exit code once it is among them.
fn attend(info: &siginfo, program: i32) -> Option<u8> {
    let signal = i32::try_from(info.ssi_signo)
        .ok()
        .and_then(|number| Signal::try_from(number).ok())?;
    if signal == Signal::SIGCHLD {
        return collect(program);
    }
    if info.ssi_code != SI_KERNEL {
        // It may have ended in the same moment.
        let _ = kill(nix::unistd::Pid::from_raw(program), signal);
    }
    None
}

fn collect(program: i32) -> Option<u8> {
    let mut code = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if Some(pid) == Pid::from_raw(program) {
            code = Some(exit_code(status));
        }
    }
    code
}

fn exit_code(status: WaitStatus) -> u8 {
    let signal = status.terminating_signal().map(|signal| signal.saturating_add(128));
    let code = status.exit_status().or(signal).unwrap_or(255);
    u8::try_from(code).unwrap_or(255)
}

fn fail(code: u8, text: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::from(code)
}
