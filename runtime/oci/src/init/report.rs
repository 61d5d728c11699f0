//! What passes between the parent and the new process: reports with descriptors one way, a word the other way.
//!
//! Each message is one packet, so neither side can read half of one.

use crate::error::{Error, Kind, Result, Step};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Longest report, in bytes; longer messages are cut before they are sent.
const LONGEST: usize = 8 << 10;
const WORD: &[u8] = b"go";

/// What the new process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// The intermediate process made the container's first process; its pidfd comes along.
    Staged {
        /// Its number in the parent's pid namespace.
        pid: i32,
    },
    /// Mounts are done; hooks of the runtime may run. It waits for the word.
    Mounted,
    /// The terminal's master comes along.
    Console,
    /// All is set up: it waits to be started (or runs the program next).
    Ready,
    /// It gave up.
    Failed {
        /// What a caller may decide by.
        kind: Kind,
        /// Step, path and cause.
        message: String,
    },
}

impl Report {
    /// A failure as a report.
    pub fn failure(error: &Error) -> Self {
        let mut message = error.chain();
        message.truncate(
            message
                .char_indices()
                .map(|(at, _)| at)
                .take_while(|at| *at < LONGEST / 4)
                .last()
                .map_or(0, |at| at + 1),
        );
        Self::Failed {
            kind: error.kind(),
            message: if message.is_empty() {
                "failed".to_owned()
            } else {
                message
            },
        }
    }
}

/// One end.
#[derive(Debug)]
pub struct Line {
    socket: OwnedFd,
}

/// The parent's and the child's end.
pub fn pair() -> Result<(Line, Line)> {
    let (parent, child) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .step("make a socket pair", "")?;
    Ok((Line { socket: parent }, Line { socket: child }))
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Line {
    /// Sends a report, with at most one descriptor.
    pub fn send(&self, report: &Report, fd: Option<BorrowedFd<'_>>) -> Result<()> {
        let bytes = serde_json::to_vec(report)
            .map_err(std::io::Error::other)
            .step("write a report", "")?;
        self.send_bytes(&bytes, fd)
    }

    /// Receives a report; `None` when every other end is closed (after execve, or death).
    pub fn receive(&self) -> Result<Option<(Report, Option<OwnedFd>)>> {
        let mut bytes = [0; LONGEST];
        let Some((length, fd)) = self.receive_bytes(&mut bytes)? else {
            return Ok(None);
        };
        let report = serde_json::from_slice(bytes.get(..length).unwrap_or_default())
            .map_err(std::io::Error::other)
            .step("read a report of the new process", "")?;
        Ok(Some((report, fd)))
    }

    /// Lets the new process go on.
    pub fn send_word(&self) -> Result<()> {
        self.send_bytes(WORD, None)
    }

    /// Waits until the parent lets us go on.
    pub fn await_word(&self) -> Result<()> {
        let mut bytes = [0; 16];
        match self.receive_bytes(&mut bytes)? {
            Some((length, _)) if bytes.get(..length) == Some(WORD) => Ok(()),
            _ => Err(Errno::PIPE).step("wait for the parent", ""),
        }
    }

    fn send_bytes(&self, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = fd.map(|fd| [fd]);
        if let Some(fds) = &fds {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
            .map(drop)
            .step("send to the other process", "")
    }

    fn receive_bytes(&self, bytes: &mut [u8]) -> Result<Option<(usize, Option<OwnedFd>)>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = loop {
            let mut into = [IoSliceMut::new(bytes)];
            match recvmsg(&self.socket, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Ok(None),
                other => break other.step("receive from the other process", "")?.bytes,
            }
        };
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        Ok((got > 0).then_some((got, fd)))
    }
}
