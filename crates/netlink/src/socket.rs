//! The raw socket: send messages, read the answers that belong to them.
//!
//! Knows sequence numbers, acknowledgements and dumps; knows nothing of what messages mean.

use crate::Error;
use crate::message::{Content, Message, flags, replies};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recv, send, socket_with,
    sockopt,
};
use std::time::Duration;

/// Largest datagram read at once; the kernel packs dumps into at most 32 KiB.
const RECEIVE_BUFFER: usize = 64 * 1024;
/// Room for a large batch and for the acknowledgements of many messages.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// The kernel answers before `send` returns; this only bounds a kernel that does not.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Which part of the kernel a socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// rtnetlink.
    Route,
    /// Netfilter, of which nftables is a part.
    Netfilter,
}

impl Family {
    /// Word for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Netfilter => "netfilter",
        }
    }

    const fn protocol(self) -> Option<Protocol> {
        match self {
            Self::Route => None,
            Self::Netfilter => Some(netlink::NETFILTER),
        }
    }
}

/// A netlink socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn open(family: Family) -> Result<Self, Error> {
        let fd = open_bound(family, 0)?;
        Ok(Self {
            fd,
            sequence: 0,
            buffer: vec![0; RECEIVE_BUFFER],
        })
    }

    /// Sends one message and waits until the kernel has carried it out.
    ///
    /// # Errors
    /// [`Error::Refused`] with the kernel's reason; [`Error::Send`], [`Error::Receive`].
    pub fn run(&mut self, message: &Message) -> Result<(), Error> {
        let sequence = self.send(std::slice::from_ref(message), flags::ACK)?;
        self.collect(sequence, &message.what, |_, _| {})
    }

    /// Sends one message and returns the objects it asked for. A request that is not a dump is
    /// acknowledged too, so the end is certain.
    ///
    /// # Errors
    /// As [`Socket::run`].
    pub fn query<T>(
        &mut self,
        message: &Message,
        mut read: impl FnMut(u16, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let dump = message.flags & flags::DUMP == flags::DUMP;
        let sequence = self.send(std::slice::from_ref(message), if dump { 0 } else { flags::ACK })?;
        let mut objects = Vec::new();
        self.collect(sequence, &message.what, |kind, body| objects.extend(read(kind, body)))?;
        Ok(objects)
    }

    /// Sends several messages in one system call. The kernel carries them out in order and does not
    /// stop at one it refuses; the first refusal is returned.
    ///
    /// # Errors
    /// As [`Socket::run`], for the first message refused.
    pub fn run_all(&mut self, messages: &[Message]) -> Result<(), Error> {
        let first = self.send(messages, flags::ACK)?;
        let mut result = Ok(());
        for (sequence, message) in (first..).zip(messages) {
            let outcome = self.collect(sequence, &message.what, |_, _| {});
            result = result.and(outcome);
        }
        result
    }

    /// Sends a transaction that the kernel applies whole or not at all. Only the last message is
    /// acknowledged, so that a large batch cannot overflow the socket with acknowledgements; the
    /// kernel queues every refusal before `send` returns.
    ///
    /// # Errors
    /// The first refusal, with the message it is about; nothing is applied then.
    pub(crate) fn run_batch(&mut self, begin: &Message, messages: &[Message], end: &Message) -> Result<(), Error> {
        let Some((last, others)) = messages.split_last() else {
            return Ok(());
        };
        let number = self.number(messages.len() + 1);
        let mut bytes = Vec::new();
        begin.encode(number, 0, &mut bytes);
        for (sequence, message) in (number + 1..).zip(others) {
            check_length(message)?;
            message.encode(sequence, 0, &mut bytes);
        }
        check_length(last)?;
        last.encode(self.sequence, flags::ACK, &mut bytes);
        end.encode(number, 0, &mut bytes);
        self.transmit(&bytes, "begin a transaction")?;
        self.collect_batch(number, messages)
    }

    fn collect_batch(&mut self, number: u32, messages: &[Message]) -> Result<(), Error> {
        let mut result = Ok(());
        loop {
            let length = match self.receive(RecvFlags::DONTWAIT) {
                Ok(length) => length,
                Err(Errno::AGAIN) => return result,
                Err(source) => {
                    return result.and(Err(Error::Receive {
                        what: "commit".into(),
                        source,
                    }));
                }
            };
            for reply in replies(self.buffer.get(..length).unwrap_or_default()) {
                if reply.sequence < number || result.is_err() {
                    continue;
                }
                if let Content::Refused { errno, detail } = reply.content {
                    let what = guilty(messages, reply.sequence - number);
                    result = Err(Error::Refused { what, detail, errno });
                }
            }
        }
    }

    fn send(&mut self, messages: &[Message], extra_flags: u16) -> Result<u32, Error> {
        let first = self.number(messages.len());
        let mut bytes = Vec::new();
        for (sequence, message) in (first..).zip(messages) {
            check_length(message)?;
            message.encode(sequence, extra_flags, &mut bytes);
        }
        let what = messages.first().map_or("nothing", |message| &message.what);
        self.transmit(&bytes, what)?;
        Ok(first)
    }

    /// Reserves `count` sequence numbers; returns the first. Never 0, which marks events.
    fn number(&mut self, count: usize) -> u32 {
        let count = u32::try_from(count).unwrap_or(u32::MAX / 4);
        if self.sequence > u32::MAX / 2 {
            self.sequence = 0;
        }
        let first = self.sequence + 1;
        self.sequence += count;
        first
    }

    fn transmit(&self, bytes: &[u8], what: &str) -> Result<(), Error> {
        send(&self.fd, bytes, SendFlags::empty())
            .map(|_| ())
            .map_err(|source| Error::Send {
                what: what.into(),
                source,
            })
    }

    /// Reads until the message numbered `sequence` is settled; objects go to `object`.
    fn collect(&mut self, sequence: u32, what: &str, mut object: impl FnMut(u16, &[u8])) -> Result<(), Error> {
        loop {
            let length = self.receive(RecvFlags::empty()).map_err(|source| Error::Receive {
                what: what.into(),
                source,
            })?;
            let datagram = self.buffer.get(..length).unwrap_or_default();
            for reply in replies(datagram).filter(|reply| reply.sequence == sequence) {
                match reply.content {
                    Content::Object { kind, body } => object(kind, body),
                    Content::Done => return Ok(()),
                    Content::Refused { errno, detail } => {
                        return Err(Error::Refused {
                            what: what.into(),
                            detail,
                            errno,
                        });
                    }
                    Content::Overrun => {
                        return Err(Error::Receive {
                            what: what.into(),
                            source: Errno::NOBUFS,
                        });
                    }
                }
            }
        }
    }

    fn receive(&mut self, extra: RecvFlags) -> Result<usize, Errno> {
        loop {
            match recv(&self.fd, self.buffer.as_mut_slice(), extra | RecvFlags::TRUNC) {
                Ok((_, real)) if real > self.buffer.len() => return Err(Errno::MSGSIZE),
                Ok((length, _)) => return Ok(length),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Words for the message with this place in a transaction; 0 is its beginning, to which the kernel
/// attributes a failure of the commit itself.
fn guilty(messages: &[Message], place: u32) -> String {
    usize::try_from(place)
        .ok()
        .and_then(|place| messages.get(place.checked_sub(1)?))
        .map_or_else(|| "commit the transaction".into(), |message| message.what.clone())
}

fn check_length(message: &Message) -> Result<(), Error> {
    if message.body.overflowed() {
        return Err(Error::TooLong {
            what: message.what.clone(),
        });
    }
    Ok(())
}

/// Opens and binds a socket; `groups` is the bit mask of multicast groups to hear.
pub(crate) fn open_bound(family: Family, groups: u32) -> Result<OwnedFd, Error> {
    let failed = |source| Error::Open {
        family: family.name(),
        source,
    };
    let flags = SocketFlags::CLOEXEC;
    let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, family.protocol()).map_err(failed)?;
    bind(&fd, &netlink::SocketAddrNetlink::new(0, groups)).map_err(failed)?;
    // Larger buffers and better errors are welcome, not needed: without the right to have them the
    // exchange still works.
    let _ = sockopt::set_socket_send_buffer_size_force(&fd, SOCKET_BUFFER);
    let _ = sockopt::set_socket_recv_buffer_size_force(&fd, SOCKET_BUFFER);
    let _ = keelson_sys::netlink::ask_for_extended_errors(fd.as_fd());
    sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(ANSWER_TIMEOUT)).map_err(failed)?;
    Ok(fd)
}
