//! Standard input, output and error of a unit. A journal that does not answer never holds up a start.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use keelson_image_layout::paths;
use rustix::fs::OFlags;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::spec::{ExecSpec, WithoutJournal};
use crate::unit::Stdout;

/// Connects the three streams.
///
/// # Errors
/// What the kernel says about `/dev/null`, the console or the kernel log.
pub fn connect(spec: &ExecSpec) -> io::Result<()> {
    let null = open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    match spec.stdout {
        Stdout::Null => both(&null),
        Stdout::Console => both(open("/dev/console")?),
        Stdout::Journal => match journal_stream(spec) {
            Ok(stream) => both(stream),
            Err(_) => match spec.without_journal {
                WithoutJournal::KernelLog => both(open("/dev/kmsg")?),
                WithoutJournal::Inherit => Ok(()),
            },
        },
    }
}

fn both(stream: impl AsFd) -> io::Result<()> {
    rustix::stdio::dup2_stdout(&stream)?;
    rustix::stdio::dup2_stderr(&stream)?;
    Ok(())
}

fn open(path: &str) -> io::Result<OwnedFd> {
    let flags = i32::try_from((OFlags::NOCTTY | OFlags::CLOEXEC).bits()).unwrap_or_default();
    Ok(OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)?
        .into())
}

/// A stream to the journal with its header sent. PID 1 holds the listening socket, so the connection is made even while
/// the journal restarts; a full backlog answers at once instead of blocking.
fn journal_stream(spec: &ExecSpec) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(paths::JOURNAL_STDOUT)?)?;
    let header = stream_header(spec);
    let sent = rustix::net::send(&socket, header.as_bytes(), SendFlags::NOSIGNAL)?;
    if sent != header.len() {
        return Err(rustix::io::Errno::AGAIN);
    }
    // A program's own writes may wait: it expects a stream like any other.
    let status = rustix::fs::fcntl_getfl(&socket)?;
    rustix::fs::fcntl_setfl(&socket, status - OFlags::NONBLOCK)?;
    Ok(socket)
}

/// The seven lines before the stream: identifier, unit, default priority (6, info), whether `<N>` prefixes count, and
/// no forwarding to syslog, kernel log and console.
fn stream_header(spec: &ExecSpec) -> String {
    let program = spec.exec.first().map(String::as_str).unwrap_or_default();
    let identifier = program.rsplit('/').next().unwrap_or_default().replace('\n', " ");
    format!("{identifier}\n{}\n6\n1\n0\n0\n0\n", spec.unit)
}
