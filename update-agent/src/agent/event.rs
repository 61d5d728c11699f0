//! What happens to the agent.

use keelson_image_layout::{Reason, RootHash};
use serde::Serialize;

use super::gates::{Settings, Why};

/// A release the repository offers to this machine, with its signatures checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// Its version.
    pub version: String,
    /// Root hash of its root.
    pub root_hash: RootHash,
    /// The channel is halted.
    pub halted: bool,
    /// What it was given up for on this machine before, as the slot-state record says.
    pub rejected: Option<Reason>,
    /// What fetching it costs; known once its description was fetched.
    pub cost: Cost,
}

/// Bytes to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Cost {
    /// Of the patch from the running release, if there is one.
    pub patch: Option<u64>,
    /// Of what is missing, from full images.
    pub full: u64,
}

/// What the machine's slots hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Version of the running release.
    pub version: String,
    /// Whether it proved itself.
    pub committed: bool,
    /// The running slot was given up, and the machine has not rebooted yet.
    pub leaving: bool,
    /// A release that waits in the other slot for its first boot.
    pub staged: Option<Staged>,
    /// Version and reason of a release that lies in the other slot and was given up.
    pub given_up: Option<(String, Reason)>,
}

/// A release that waits for its first boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Its version.
    pub version: String,
    /// Its root.
    pub root_hash: RootHash,
}

/// What an operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Look now.
    Check,
    /// Take what is offered, and reboot.
    Apply,
    /// Give the running release up and go back to the other slot.
    Rollback,
    /// Start nothing and end what is under way; or no longer.
    Hold(bool),
}

/// Why something did not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "failure", rename_all = "kebab-case")]
pub enum Failure {
    /// The repository does not answer.
    Network {
        /// In words.
        what: String,
    },
    /// Signatures, versions or lengths are not as they must be.
    Signature {
        /// In words.
        what: String,
    },
    /// Whether signatures are still valid cannot be told without the time.
    Time,
    /// The release is not what its own signed description says.
    Unsound {
        /// In words.
        what: String,
    },
    /// It would have fetched more than the document allows.
    Budget {
        /// Bytes it would fetch in all.
        needed: u64,
        /// Bytes allowed.
        budget: u64,
    },
    /// Too little room.
    Room {
        /// In words, with the figures.
        what: String,
    },
    /// The slots do not allow it, or the disk failed.
    Machine {
        /// In words.
        what: String,
    },
}

impl Failure {
    /// The same as a reason to wait.
    #[must_use]
    pub fn why(&self) -> Why {
        match self.clone() {
            Failure::Network { what } => Why::Network { what },
            Failure::Signature { what } => Why::Signature { what },
            Failure::Time => Why::Time,
            Failure::Unsound { .. } => Why::Unsound,
            Failure::Budget { needed, budget } => Why::Budget { needed, budget },
            Failure::Room { what } => Why::Room { what },
            Failure::Machine { what } => Why::Machine { what },
        }
    }
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The agent was started, and this is how it found the machine.
    Started {
        /// What the slots hold.
        found: Found,
        /// Whether an operator holds updates.
        held: bool,
    },
    /// The time the agent asked for has come.
    Woke,
    /// The running slot was committed.
    Committed,
    /// An operator asks.
    Asked(Request),
    /// The machine's document changed.
    Settings(Settings),
    /// How far writing is.
    Progress {
        /// The work that reports.
        work: u64,
        /// Bytes that are in the slot.
        done: u64,
        /// Bytes there will be.
        total: u64,
    },
    /// Work ended.
    Ended {
        /// Which.
        work: u64,
        /// How.
        ended: Ended,
    },
}

/// How a piece of work ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The repository was asked: what it offers, if anything.
    Check(Result<Option<Offer>, Failure>),
    /// The description of a release was fetched: what the rest costs.
    Described(Result<Cost, Failure>),
    /// Everything is in the slot.
    Write(Result<(), Failure>),
    /// It was read back, and its entry is visible.
    Verify(Result<(), Failure>),
    /// The halt flag was read.
    Halt(Result<bool, Failure>),
    /// The running slot was given up.
    GoBack(Result<(), Failure>),
}
