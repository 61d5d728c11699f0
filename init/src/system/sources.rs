//! The one thing PID 1 waits on: an epoll set. Knows which descriptor belongs to what, and nothing about what is read
//! from it.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// What has become readable. The order is the order in which sources of one turn are served: what a process said comes
/// before its end, and requests come last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Readiness datagrams.
    Notify,
    /// Status pipe of the unit with this index.
    Pipe(u32),
    /// Control group events of the unit with this index.
    Group(u32),
    /// Signals, so that children have ended.
    Signals,
    /// Somebody knocks at a socket of the unit with this index.
    Call(u32),
    /// Kernel device events.
    Devices,
    /// Power button with this index.
    Button(u32),
    /// Somebody connects to the control socket.
    Listener,
    /// Control connection with this number.
    Connection(u32),
}

impl Source {
    fn to_number(self) -> u64 {
        let (kind, index) = match self {
            Source::Notify => (0, 0),
            Source::Pipe(index) => (1, index),
            Source::Group(index) => (2, index),
            Source::Signals => (3, 0),
            Source::Devices => (4, 0),
            Source::Button(index) => (5, index),
            Source::Listener => (6, 0),
            Source::Connection(index) => (7, index),
            Source::Call(index) => (8, index),
        };
        (kind << 32) | u64::from(index)
    }

    fn from_number(number: u64) -> Option<Self> {
        let index = u32::try_from(number & 0xffff_ffff).ok()?;
        Some(match number >> 32 {
            0 => Source::Notify,
            1 => Source::Pipe(index),
            2 => Source::Group(index),
            3 => Source::Signals,
            4 => Source::Devices,
            5 => Source::Button(index),
            6 => Source::Listener,
            7 => Source::Connection(index),
            8 => Source::Call(index),
            _ => return None,
        })
    }
}

/// The epoll set. A descriptor leaves it by being closed.
#[derive(Debug)]
pub struct Sources(OwnedFd);

impl Sources {
    /// An empty set.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new() -> rustix::io::Result<Self> {
        epoll::create(CreateFlags::CLOEXEC).map(Sources)
    }

    /// Watches a descriptor for bytes (a control group's event file: for changes).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn watch(&self, descriptor: impl AsFd, source: Source) -> rustix::io::Result<()> {
        let flags = match source {
            Source::Group(_) => EventFlags::PRI,
            _ => EventFlags::IN,
        };
        epoll::add(&self.0, descriptor, EventData::new_u64(source.to_number()), flags)
    }

    /// Watches a descriptor no longer.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn forget(&self, descriptor: impl AsFd) -> rustix::io::Result<()> {
        epoll::delete(&self.0, descriptor)
    }

    /// Waits for at most `timeout` (`None`: for ever); what is ready comes in the order of [`Source`].
    #[must_use]
    pub fn wait(&self, timeout: Option<Duration>) -> Vec<Source> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 64];
        // An interrupted wait is a wait that ended early.
        let Ok((ready, _)) = epoll::wait(&self.0, &mut events, timeout.as_ref()) else {
            return Vec::new();
        };
        let mut sources: Vec<Source> = ready
            .iter()
            .filter_map(|event| Source::from_number(event.data.u64()))
            .collect();
        sources.sort_unstable();
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_back_in_order_of_service() {
        let all = [
            Source::Notify,
            Source::Pipe(3),
            Source::Group(7),
            Source::Signals,
            Source::Call(2),
            Source::Devices,
            Source::Button(1),
            Source::Listener,
            Source::Connection(u32::MAX),
        ];
        assert!(all.is_sorted());
        for source in all {
            assert_eq!(Source::from_number(source.to_number()), Some(source));
        }
        assert_eq!(Source::from_number(u64::MAX), None);
    }
}
