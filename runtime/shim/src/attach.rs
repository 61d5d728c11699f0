//! Pipes between a client and a process's streams.

use crate::process::Process;
use crate::sink::Sink;
use crate::streams::{Input, InputSource, Output};
use crate::wire::set_nonblocking;
use keelson_oci::Stdio;
use keelson_shim_api::Streams;
use keelson_shim_api::config::LogStream;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Result;
use rustix::pipe::{PipeFlags, pipe_with};
use std::os::fd::OwnedFd;

/// Joins a client to a process; returns the client's ends, in the protocol's order.
pub fn attach(process: &mut Process, wanted: Streams, closes_stdin: bool) -> Result<Vec<OwnedFd>> {
    let mut ends = Vec::new();
    if wanted.stdin {
        let (ours, theirs) = pipe()?;
        set_nonblocking(&ours)?;
        ends.push(theirs);
        // A process without an input takes nothing: the client sees a broken pipe.
        if process.input.target.is_some() {
            process.input.sources.push(InputSource {
                fd: ours,
                closes: closes_stdin,
            });
        }
    }
    for (wanted, stream) in [(wanted.stdout, LogStream::Stdout), (wanted.stderr, LogStream::Stderr)] {
        let has_terminal = process.terminal.is_some();
        if !wanted || has_terminal && stream == LogStream::Stderr {
            continue;
        }
        let (theirs, ours) = pipe()?;
        set_nonblocking(&ours)?;
        ends.push(theirs);
        if let Some(output) = process.outputs.iter_mut().find(|output| output.stream == stream) {
            output.sinks.push(Sink::new(ours));
            output.close_drained();
        }
    }
    Ok(ends)
}

/// A process's own ends of its pipes and ours, logged and fed by the shim.
#[derive(Debug)]
pub struct Held {
    /// The process's.
    pub stdio: Stdio,
    /// Ours.
    pub outputs: Vec<Output>,
    /// Ours.
    pub input: Input,
}

/// Pipes for the first process.
pub fn held(open_stdin: bool) -> Result<Held> {
    let (stdin, input) = if open_stdin {
        let (theirs, ours) = pipe()?;
        set_nonblocking(&ours)?;
        (theirs, Input::new(ours))
    } else {
        (null()?, Input::default())
    };
    let mut outputs = Vec::with_capacity(2);
    let mut output = |stream| -> Result<OwnedFd> {
        let (ours, theirs) = pipe()?;
        set_nonblocking(&ours)?;
        outputs.push(Output::new(stream, ours, true));
        Ok(theirs)
    };
    let (stdout, stderr) = (output(LogStream::Stdout)?, output(LogStream::Stderr)?);
    Ok(Held {
        stdio: Stdio { stdin, stdout, stderr },
        outputs,
        input,
    })
}

/// Pipes for an exec without a terminal: the client's ends lead straight to the process.
pub fn direct(wanted: Streams) -> Result<(Stdio, Vec<OwnedFd>)> {
    let mut ends = Vec::new();
    let stdin = if wanted.stdin {
        let (theirs, ours) = pipe()?;
        ends.push(ours);
        theirs
    } else {
        null()?
    };
    let mut output = |wanted: bool| -> Result<OwnedFd> {
        if !wanted {
            return null();
        }
        let (ours, theirs) = pipe()?;
        ends.push(ours);
        Ok(theirs)
    };
    let (stdout, stderr) = (output(wanted.stdout)?, output(wanted.stderr)?);
    Ok((Stdio { stdin, stdout, stderr }, ends))
}

/// Streams over a terminal's master.
pub fn terminal(master: &OwnedFd, is_logged: bool) -> Result<(Vec<Output>, Input)> {
    set_nonblocking(master)?;
    let copy = || rustix::io::fcntl_dupfd_cloexec(master, 0);
    Ok((
        vec![Output::new(LogStream::Stdout, copy()?, is_logged)],
        Input::new(copy()?),
    ))
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC)
}

fn null() -> Result<OwnedFd> {
    open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}
