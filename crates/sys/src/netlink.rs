//! Netlink socket options that neither rustix nor nix can set.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// Asks the kernel for errors with words and without an echo of the whole request.
///
/// # Errors
/// The kernel's code; EBADF or ENOTSOCK for a descriptor that is no netlink socket.
pub fn ask_for_extended_errors(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    enable(socket, nix::libc::NETLINK_EXT_ACK)?;
    enable(socket, nix::libc::NETLINK_CAP_ACK)
}

#[allow(unsafe_code, reason = "setsockopt at level SOL_NETLINK")]
fn enable(socket: BorrowedFd<'_>, option: nix::libc::c_int) -> Result<(), Errno> {
    let on: nix::libc::c_int = 1;
    // SAFETY: the descriptor is borrowed for the call, and the value is a live integer of the length given.
    let outcome = unsafe {
        nix::libc::setsockopt(
            socket.as_raw_fd(),
            nix::libc::SOL_NETLINK,
            option,
            (&raw const on).cast(),
            size_of::<nix::libc::c_int>() as nix::libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> Errno {
    Errno::from_raw_os_error(nix::errno::Errno::last_raw())
}
