//! What the agent wants done. Whoever does it reports the end with the same number of work.

use super::event::Offer;

/// An action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask the repository what it offers; ends with [`super::Ended::Check`].
    Check {
        /// Number of the work.
        work: u64,
    },
    /// Fetch the description of a release; ends with [`super::Ended::Described`].
    Describe {
        /// Number of the work.
        work: u64,
        /// The release.
        offer: Offer,
    },
    /// Fetch it piece by piece into the slot that does not run; ends with [`super::Ended::Write`].
    Write {
        /// Number of the work.
        work: u64,
        /// The release.
        offer: Offer,
        /// Whether full images may be fetched where no patch leads.
        full: bool,
    },
    /// Read it back, write its entry and let the loader see it; ends with [`super::Ended::Verify`].
    Verify {
        /// Number of the work.
        work: u64,
        /// The release.
        offer: Offer,
    },
    /// End what is under way.
    Stop,
    /// Read the signed halt flag anew; ends with [`super::Ended::Halt`].
    ReadHalt {
        /// Number of the work.
        work: u64,
    },
    /// Give the running slot up for the other one; ends with [`super::Ended::GoBack`].
    GoBack {
        /// Number of the work.
        work: u64,
    },
    /// Reboot in order.
    Reboot,
    /// Look whether the running slot was committed meanwhile.
    LookAtSlots,
    /// Keep the operator's hold over restarts.
    KeepHold(bool),
}
