//! IPv6 of a link: the kernel takes addresses and routes from router advertisements; we say that it
//! shall, and ask routers to speak.

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with, sockopt};
use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};

const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Type 133, code 0, checksum (the kernel's business), reserved.
const SOLICITATION: [u8; 8] = [133, 0, 0, 0, 0, 0, 0, 0];
/// Neighbour discovery takes only packets that no router passed on.
const HOP_LIMIT: u32 = 255;

/// Whether to accept router advertisements on this link; 2: even when the machine forwards packets, as it
/// does for containers. Needs CAP_NET_ADMIN.
///
/// # Errors
/// The file's, for instance when the kernel has no IPv6.
pub fn accept_advertisements(link: &str, accept: bool) -> io::Result<()> {
    let value = if accept { "2" } else { "0" };
    std::fs::write(format!("/proc/sys/net/ipv6/conf/{link}/accept_ra"), value)
}

/// Asks the routers on a link to advertise now. The kernel does so when a link comes up; this is for
/// a link that was up before this program was. Needs CAP_NET_RAW.
///
/// # Errors
/// The socket's, for instance when the link has no address yet.
pub fn solicit(link: u32) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET6, SocketType::RAW, flags, Some(ipproto::ICMPV6))?;
    sockopt::set_ipv6_multicast_hops(&socket, HOP_LIMIT)?;
    let to = SocketAddrV6::new(ALL_ROUTERS, 0, 0, link);
    sendto(&socket, &SOLICITATION, SendFlags::empty(), &to)?;
    Ok(())
}
