//! Giving the terminal to whoever listens on a console socket.

use anyhow::Context;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Sends the terminal's master, as runc does: one message with one descriptor and a name.
pub fn send(path: &Path, console: &OwnedFd) -> anyhow::Result<()> {
    let socket = UnixStream::connect(path).with_context(|| format!("cannot connect to {}", path.display()))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [console.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(
        &socket,
        &[IoSlice::new(b"/dev/ptmx")],
        &mut control,
        SendFlags::NOSIGNAL,
    )
    .with_context(|| format!("cannot send the terminal to {}", path.display()))?;
    Ok(())
}
