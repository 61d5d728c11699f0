//! Why not yet: the two gates of an update, before the other slot is written and before the machine reboots. Waves,
//! windows and reboot locks get their place here.

use std::fmt;
use std::time::Duration;

use keelson_image_layout::Reason;
use keelson_payload::Version;
use serde::Serialize;

use super::event::Offer;

/// What the machine's document says about updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Somebody can be asked: there is a repository, and a root to trust.
    pub configured: bool,
    /// The one version to go to.
    pub pin: Option<String>,
    /// The lowest version to go to.
    pub floor: Option<String>,
    /// Updates are taken without being asked for.
    pub automatic: bool,
    /// So is the reboot.
    pub reboot_now: bool,
    /// Most bytes an update may fetch.
    pub byte_budget: Option<u64>,
    /// Time between looks.
    pub check_every: Duration,
    /// Time to the first one.
    pub first_check: Duration,
}

/// Where the machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The running slot is committed.
    pub committed: bool,
    /// An operator holds updates.
    pub held: bool,
    /// An operator asked for this one.
    pub asked: bool,
}

/// Why not yet. Words are for people, the kind for programs; kinds are only added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Why {
    /// An operator holds updates.
    Held,
    /// The running slot has not proven itself.
    Uncommitted,
    /// This release failed on this machine.
    Failed {
        /// What it was given up for.
        reason: Reason,
    },
    /// The document names another version.
    Pinned {
        /// The one it names.
        pin: String,
    },
    /// The document wants a later one.
    Floor {
        /// The lowest it takes.
        floor: String,
    },
    /// The channel is halted.
    Halted,
    /// It has to be asked for.
    Manual,
    /// It would fetch more than the document allows.
    Budget {
        /// Bytes it would fetch.
        needed: u64,
        /// Bytes allowed.
        budget: u64,
    },
    /// Signatures, versions or lengths are not as they must be.
    Signature {
        /// In words.
        what: String,
    },
    /// The machine does not know the time.
    Time,
    /// The repository does not answer.
    Network {
        /// In words.
        what: String,
    },
    /// The release is not what its own description says.
    Unsound,
    /// Too little room.
    Room {
        /// In words, with the figures.
        what: String,
    },
    /// There is nobody to ask.
    NotConfigured,
    /// Slots or disk.
    Machine {
        /// In words.
        what: String,
    },
}

/// Whether `this` comes after `that`, as the boot loader orders entries. What is no version is not newer than anything.
#[must_use]
pub fn is_newer(this: &str, that: &str) -> bool {
    let parse = |text: &str| text.parse::<Version>().ok();
    parse(this).zip(parse(that)).is_some_and(|(this, that)| this > that)
}

/// Why a release is not written yet.
#[must_use]
pub fn why_not_write(settings: &Settings, standing: &Standing, offer: &Offer) -> Option<Why> {
    if standing.held {
        return Some(Why::Held);
    }
    if !standing.committed {
        return Some(Why::Uncommitted);
    }
    if let Some(reason) = offer.rejected {
        return Some(Why::Failed { reason });
    }
    if let Some(pin) = settings.pin.as_ref().filter(|pin| **pin != offer.version) {
        return Some(Why::Pinned { pin: pin.clone() });
    }
    if let Some(floor) = settings.floor.as_ref().filter(|floor| is_newer(floor, &offer.version)) {
        return Some(Why::Floor { floor: floor.clone() });
    }
    if offer.halted {
        return Some(Why::Halted);
    }
    if !settings.automatic && !standing.asked {
        return Some(Why::Manual);
    }
    over_budget(settings, standing, offer)
}

/// A patch that fits the budget is enough; whoever asks for the release has seen the figure.
fn over_budget(settings: &Settings, standing: &Standing, offer: &Offer) -> Option<Why> {
    let budget = settings.byte_budget.filter(|_| !standing.asked)?;
    let needed = offer.cost.patch.unwrap_or(offer.cost.full);
    (needed > budget).then_some(Why::Budget { needed, budget })
}

/// Whether full images may take the place of a patch: never without the budget for it.
#[must_use]
pub fn may_fetch_in_full(settings: &Settings, asked: bool, offer: &Offer) -> bool {
    let fits = settings.byte_budget.is_none_or(|budget| offer.cost.full <= budget);
    asked || fits || offer.cost.patch.is_none()
}

/// Why the machine does not reboot into what is staged. The halt flag is read after this.
#[must_use]
pub fn why_not_reboot(settings: &Settings, standing: &Standing) -> Option<Why> {
    if standing.held {
        return Some(Why::Held);
    }
    (!settings.reboot_now && !standing.asked).then_some(Why::Manual)
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Held => f.write_str("an operator holds updates; `update hold off` lets them go on"),
            Why::Uncommitted => f.write_str("the running release has not proven itself yet"),
            Why::Failed { reason } => write!(f, "this release was given up on this machine before ({reason:?})"),
            Why::Pinned { pin } => write!(f, "the document pins version {pin}"),
            Why::Floor { floor } => write!(f, "the document takes no version below {floor}"),
            Why::Halted => f.write_str("the channel is halted"),
            Why::Manual => f.write_str("it waits to be asked for: `update apply`"),
            Why::Budget { needed, budget } => {
                write!(
                    f,
                    "it would fetch {needed} bytes, the document allows {budget}; `update apply` takes it"
                )
            }
            Why::Signature { what } => write!(f, "the repository cannot be trusted: {what}"),
            Why::Time => {
                f.write_str("the machine does not know the time, so it cannot tell whether signatures expired")
            }
            Why::Network { what } => write!(f, "the repository does not answer: {what}"),
            Why::Unsound => {
                f.write_str("the release is not what its description says; `update apply` fetches it again")
            }
            Why::NotConfigured => f.write_str(
                "nobody is asked: the document names no `address` below `[update]`, or the image has no root to trust",
            ),
            Why::Room { what } | Why::Machine { what } => f.write_str(what),
        }
    }
}
