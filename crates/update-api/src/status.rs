//! Where the update agent stands, for people and programs.

use keelson_image_layout::{Reason, RootHash, Slot, State as SlotState};
use serde::{Deserialize, Serialize};

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// 1.
    pub format: u32,
    /// What it is doing.
    pub state: State,
    /// Version of the running release.
    pub version: String,
    /// The slot it runs from.
    pub slot: Slot,
    /// Whether it has proven itself.
    pub committed: bool,
    /// Whether an operator holds updates.
    pub held: bool,
    /// The channel that is followed.
    #[serde(default)]
    pub channel: Option<String>,
    /// Address of the repository.
    #[serde(default)]
    pub address: Option<String>,
    /// The release that is or may be taken.
    #[serde(default)]
    pub offer: Option<Offer>,
    /// How far fetching and writing is.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// Why it does not go on.
    #[serde(default)]
    pub why: Option<Why>,
    /// When the repository last answered with something that could be trusted, seconds since 1970.
    #[serde(default)]
    pub last_check: Option<u64>,
    /// When it is asked next, seconds since 1970.
    #[serde(default)]
    pub next_check: Option<u64>,
    /// The other slot.
    #[serde(default)]
    pub other: Option<Other>,
    /// The release that this machine came back from.
    #[serde(default)]
    pub given_up: Option<GivenUp>,
}

/// What the agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing is configured, so nobody is asked.
    Off,
    /// Nothing newer is known of.
    Idle,
    /// Asking the repository.
    Checking,
    /// There is something newer, or may be, and a reason not to take it yet.
    Waiting,
    /// Fetching what describes a release.
    Downloading,
    /// Fetching it into the other slot.
    Writing,
    /// Reading it back, making its entry visible.
    Verifying,
    /// It waits for the reboot.
    Staged,
    /// The machine goes down.
    Rebooting,
    /// The running release has to prove itself.
    Assessing,
    /// It has; nothing newer is known of.
    Committed,
    /// The running release is the one before; nothing newer is known of.
    RolledBack,
    /// A word of a newer release.
    #[serde(other)]
    Unknown,
}

/// A release that the repository offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Its version.
    pub version: String,
    /// Root hash of its root.
    pub root_hash: RootHash,
    /// Whether its channel is halted.
    pub halted: bool,
    /// Bytes of the patch that leads to it from the running release, as far as they are still missing.
    #[serde(default)]
    pub patch: Option<u64>,
    /// Bytes that full images would take, as far as they are still missing; 0 before it is known.
    #[serde(default)]
    pub full: u64,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes of the release that are in their place.
    pub done: u64,
    /// Bytes there will be.
    pub total: u64,
    /// Bytes that were fetched for it since the agent was started.
    #[serde(default)]
    pub fetched: u64,
}

/// Why it does not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// In a word, for programs: `held`, `uncommitted`, `failed`, `pinned`, `floor`, `halted`, `manual`, `budget`,
    /// `signature`, `time`, `network`, `unsound`, `room`, `machine`, `not-configured`; words are only added.
    pub kind: String,
    /// For people, with the figures and the cure.
    pub words: String,
}

/// The slot that does not run, by the slot-state record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// Which.
    pub slot: Slot,
    /// What it is good for.
    pub state: SlotState,
    /// What it lost its last try for.
    pub reason: Reason,
    /// The release in it; empty without one.
    pub version: String,
}

/// A release that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// Its version.
    pub version: String,
    /// What for.
    pub reason: Reason,
}
