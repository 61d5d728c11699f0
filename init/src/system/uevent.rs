//! The kernel's device events, with their fields. Anything not sent by the kernel itself is dropped.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recvfrom, socket_with, sockopt};

/// Multicast group of the kernel's own events.
const KERNEL_GROUP: u32 = 1;
/// A burst of devices, as at coldplug; forced, since the default loses some.
const BUFFER_BYTES: usize = 4 << 20;
const MOST_BYTES: usize = 8192;

/// One event, reduced to what is used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uevent {
    /// `add`, `remove`, `change`, ….
    pub action: String,
    /// For instance `input`.
    pub subsystem: String,
    /// Node below `/dev`, if it has one.
    pub node: Option<String>,
    /// What a driver is found by, if it is a device.
    pub modalias: Option<String>,
}

/// Opens the socket; what happens from now on is not missed. `flags` beyond close-on-exec.
///
/// # Errors
/// What the kernel says.
pub fn open(flags: SocketFlags) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | flags;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
    let _ = sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER_BYTES);
    bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
    Ok(socket)
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// An event of the kernel.
    Event(Uevent),
    /// Something else: a datagram of somebody else, or a sign that events were lost.
    Other,
    /// Nothing there now.
    Nothing,
}

/// Reads the next event.
#[must_use]
pub fn receive(socket: &OwnedFd) -> Received {
    let mut bytes = [0; MOST_BYTES];
    match recvfrom(socket, &mut bytes, RecvFlags::empty()) {
        Ok((_, length, from)) => {
            let from = from.and_then(|address| SocketAddrNetlink::try_from(address).ok());
            let of_kernel = from.is_some_and(|address| address.pid() == 0);
            match parse_uevent(bytes.get(..length).unwrap_or_default()) {
                Some(event) if of_kernel => Received::Event(event),
                _ => Received::Other,
            }
        }
        Err(rustix::io::Errno::AGAIN) => Received::Nothing,
        Err(_) => Received::Other,
    }
}

/// Parses `ACTION@PATH`, then `KEY=value`, each ended by NUL. `None` for anything else.
#[must_use]
pub fn parse_uevent(datagram: &[u8]) -> Option<Uevent> {
    let mut fields = datagram.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let mut event = Uevent {
        action: fields.next()?.split_once('@')?.0.to_owned(),
        ..Uevent::default()
    };
    for field in fields {
        match field.split_once('=') {
            Some(("SUBSYSTEM", value)) => event.subsystem = value.to_owned(),
            Some(("DEVNAME", value)) => event.node = Some(value.to_owned()),
            Some(("MODALIAS", value)) => event.modalias = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn events_are_reduced_to_what_is_used() {
        let event = parse_uevent(
            b"add@/devices/LNXSYSTM:00/input/input0/event0\0ACTION=add\0SUBSYSTEM=input\0DEVNAME=input/event0\0SEQNUM=9\0",
        );
        let event = event.unwrap();
        assert_eq!((event.action.as_str(), event.subsystem.as_str()), ("add", "input"));
        assert_eq!(event.node.as_deref(), Some("input/event0"));
        assert_eq!(event.modalias, None);
        assert_eq!(parse_uevent(b"libudev\0\xfe\xed"), None);
    }

    proptest! {
        #[test]
        fn any_datagram_is_parsed_without_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_uevent(&data);
        }
    }
}
