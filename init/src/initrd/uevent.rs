//! Waiting for the kernel to announce devices, without fixed sleeps.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

/// Longest time between two looks, in case an event was lost.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Multicast group of the kernel's own events.
const KERNEL_GROUP: u32 = 1;

/// The kernel's event socket.
#[derive(Debug)]
pub struct Events(OwnedFd);

impl Events {
    /// Opens the socket; devices that appear from now on are not missed.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn open() -> io::Result<Events> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
        Ok(Events(socket))
    }

    /// Waits for any event, at most until `deadline`, and drops all that are queued: the caller looks for itself what
    /// changed. `false` once the deadline has passed.
    pub fn wait(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let timeout = Timespec::try_from(left.min(LOOK_AGAIN)).ok();
        let _ = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], timeout.as_ref());
        while recv(&self.0, &mut [0; 4096][..], RecvFlags::empty()).is_ok() {}
        true
    }
}
