//! The readiness socket: datagrams of `sd_notify(3)`, each with the kernel's word on who sent it. A claim about
//! another process (`MAINPID=`) is ignored: who speaks is decided by the sender's control group.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SocketFlags, SocketType, recvmsg,
    sockopt,
};

use crate::manager::Notification;

/// Larger datagrams are dropped.
const MOST_BYTES: usize = 4096;
/// Longer status lines are cut.
const STATUS_BYTES: usize = 200;

/// Makes the socket at `path`. Everybody may write to it; what counts is who does.
///
/// # Errors
/// What the kernel says.
pub fn listen(path: &Path) -> std::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    sockopt::set_socket_passcred(&socket, true)?;
    // A burst of units that become ready must not be lost; where forcing is not allowed the default does.
    let _ = sockopt::set_socket_recv_buffer_size_force(&socket, 8 << 20);
    super::sockets::bind(&socket, path, 0o666)?;
    Ok(socket)
}

/// The next datagram with its sender's pid; `None` when there is none now.
#[must_use]
pub fn receive(socket: &OwnedFd) -> Option<(i32, Notification)> {
    loop {
        let mut bytes = [0; MOST_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1), ScmRights(8))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let message = match recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags) {
            Ok(message) => message,
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return None,
        };
        // Descriptors that came along are closed by being dropped.
        let sender = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmCredentials(credentials) => Some(credentials.pid.as_raw_nonzero().get()),
            _ => None,
        });
        let (Some(sender), false) = (sender, message.flags.contains(ReturnFlags::TRUNC)) else {
            continue;
        };
        return Some((
            sender,
            parse_notification(bytes.get(..message.bytes).unwrap_or_default()),
        ));
    }
}

/// Reduces a datagram to what matters; unknown lines are ignored.
#[must_use]
pub fn parse_notification(datagram: &[u8]) -> Notification {
    let text = String::from_utf8_lossy(datagram);
    let mut notification = Notification::default();
    for line in text.lines() {
        match line.split_once('=') {
            Some(("READY", "1")) => notification.ready = true,
            Some(("STOPPING", "1")) => notification.stopping = true,
            Some(("WATCHDOG", "1")) => notification.watchdog = true,
            Some(("STATUS", status)) => notification.status = Some(clean(status)),
            _ => {}
        }
    }
    notification
}

/// One line that can be shown on a console.
fn clean(status: &str) -> String {
    let mut text: String = status.chars().filter(|character| !character.is_control()).collect();
    let mut end = STATUS_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_services_say() {
        let all = parse_notification(b"READY=1\nSTATUS=listening on 53\nMAINPID=1\nX=y\nnonsense\n");
        assert!(all.ready && !all.watchdog && !all.stopping);
        assert_eq!(all.status.as_deref(), Some("listening on 53"));
        assert!(parse_notification(b"WATCHDOG=1").watchdog);
        assert!(parse_notification(b"STOPPING=1").stopping);
        assert_eq!(parse_notification(b"READY=0\nREADY\nready=1"), Notification::default());
        assert_eq!(
            parse_notification(b"STATUS=\x1b[31mred").status.as_deref(),
            Some("[31mred")
        );
    }

    proptest! {
        #[test]
        fn any_datagram_is_parsed_to_a_bounded_status(data in proptest::collection::vec(any::<u8>(), 0..600)) {
            let status = parse_notification(&data).status.unwrap_or_default();
            prop_assert!(status.len() <= STATUS_BYTES && !status.contains('\n'));
        }
    }
}
