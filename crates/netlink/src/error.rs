//! Everything that can go wrong between a message and the kernel's answer.

use rustix::io::Errno;

/// A failed netlink exchange.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket of this kind could be opened.
    #[error("cannot open a {family} netlink socket")]
    Open {
        /// `route` or `netfilter`.
        family: &'static str,
        /// Reason.
        #[source]
        source: Errno,
    },
    /// The calling thread could not enter the network namespace.
    #[error("cannot enter the network namespace")]
    Namespace(#[source] Errno),
    /// The helper thread for another namespace could not be started, or it panicked.
    #[error("the helper thread for another network namespace failed")]
    Thread,
    /// Sending failed before the kernel looked at any message.
    #[error("cannot send to the kernel: {what}")]
    Send {
        /// The first message of those sent.
        what: String,
        /// Reason.
        #[source]
        source: Errno,
    },
    /// No answer could be read.
    #[error("no answer from the kernel: {what}")]
    Receive {
        /// The message waiting for its answer.
        what: String,
        /// Reason.
        #[source]
        source: Errno,
    },
    /// The kernel refused this message.
    #[error("the kernel refuses to {what}{}", detail.as_ref().map(|d| format!(" ({d})")).unwrap_or_default())]
    Refused {
        /// The guilty message, in words: `create link veth0`.
        what: String,
        /// The kernel's own words (extended acknowledgement), when it gave some.
        detail: Option<String>,
        /// Its code.
        #[source]
        errno: Errno,
    },
    /// An answer that does not have the shape the protocol prescribes.
    #[error("unreadable answer from the kernel: {what}")]
    Malformed {
        /// What was being read.
        what: &'static str,
    },
    /// A message had more content than netlink's 16-bit lengths can say.
    #[error("message too long: {what}")]
    TooLong {
        /// The message.
        what: String,
    },
    /// No such link.
    #[error("no link named {name}")]
    NoLink {
        /// Name looked for.
        name: String,
    },
}

impl Error {
    /// The kernel's code, when it was the kernel that refused.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::Open { source, .. } | Self::Send { source, .. } | Self::Receive { source, .. } => Some(*source),
            Self::Namespace(errno) => Some(*errno),
            _ => None,
        }
    }

    /// True when the object to be created is there already.
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(Errno::EXIST)
    }

    /// True when the object does not exist (any more).
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::NoLink { .. })
            || matches!(
                self.errno(),
                Some(Errno::NOENT | Errno::NODEV | Errno::SRCH | Errno::ADDRNOTAVAIL)
            )
    }
}
