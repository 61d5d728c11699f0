//! Packet sockets: whole IP datagrams to and from a link that has no address yet.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::libc;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

const ETHERNET_ADDRESS: usize = 6;

/// One instruction of a classic packet filter: code, jump if true, jump if false, operand.
pub type Instruction = (u16, u8, u8, u32);

/// Opens a socket for the packets of one ethernet protocol on one link, without their link header. It does not
/// block. Only packets that `filter` lets pass are queued.
///
/// # Errors
/// The kernel's code; EPERM without CAP_NET_RAW, ENODEV if there is no such link.
pub fn open(link: u32, protocol: u16, filter: &[Instruction]) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // With protocol 0 nothing is queued before the filter is in place; binding sets the protocol.
    let socket = socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, None)?;
    attach_filter(&socket, filter)?;
    bind(&socket, &address(link, protocol, [0; ETHERNET_ADDRESS]))?;
    Ok(socket)
}

/// Sends a datagram to a hardware address on a link.
///
/// # Errors
/// The kernel's code; ENETDOWN if the link is down.
#[allow(unsafe_code, reason = "sendto with a link-layer address")]
pub fn send_to(
    socket: BorrowedFd<'_>,
    link: u32,
    protocol: u16,
    to: [u8; ETHERNET_ADDRESS],
    datagram: &[u8],
) -> Result<(), Errno> {
    let to = address(link, protocol, to);
    // SAFETY: the buffer and the address are live for the call and the lengths are theirs.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            datagram.as_ptr().cast(),
            datagram.len(),
            0,
            (&raw const to).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if sent < 0 { Err(last_error()) } else { Ok(()) }
}

#[allow(unsafe_code, reason = "bind to a link-layer address")]
fn bind(socket: &OwnedFd, to: &libc::sockaddr_ll) -> Result<(), Errno> {
    // SAFETY: the address is live for the call and the length is its own.
    let outcome = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const *to).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(last_error()) }
}

#[allow(unsafe_code, reason = "setsockopt SO_ATTACH_FILTER")]
fn attach_filter(socket: &OwnedFd, filter: &[Instruction]) -> Result<(), Errno> {
    let mut code: Vec<libc::sock_filter> = filter
        .iter()
        .map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(code.len()).map_err(|_| Errno::INVAL)?,
        filter: code.as_mut_ptr(),
    };
    // SAFETY: the program points at `code`, which lives through the call, and says its length; the kernel copies it
    // and checks every instruction.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(last_error()) }
}

fn address(link: u32, protocol: u16, to: [u8; ETHERNET_ADDRESS]) -> libc::sockaddr_ll {
    let mut sll_addr = [0; 8];
    sll_addr[..ETHERNET_ADDRESS].copy_from_slice(&to);
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol.to_be(),
        sll_ifindex: link.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: ETHERNET_ADDRESS as u8,
        sll_addr,
    }
}

fn last_error() -> Errno {
    Errno::from_raw_os_error(nix::errno::Errno::last_raw())
}
