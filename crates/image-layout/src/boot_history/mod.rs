//! The boot history: what booted, and why each boot ended. The initramfs opens an entry per boot and closes the one
//! before it; PID 1 leaves [`Ending`] when the machine goes down in order. `docs/formats/boot-history.md`.

mod cause;
mod ending;

pub use cause::{Cause, Evidence, Verdict, decide_attempts, decide_cause};
pub use ending::{Asker, Ending, Kind};

use serde::{Deserialize, Serialize};

use crate::facts::SlotFacts;
use crate::slot::Slot;

/// Version of the document, and the oldest whose readers may write it.
pub const FORMAT: u32 = 1;
/// Boots that are remembered.
pub const MOST_BOOTS: usize = 64;
/// A longer document is none of ours.
pub const MOST_BYTES: usize = 256 << 10;

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// [`FORMAT`] of its writer.
    pub format: u32,
    /// Oldest format whose readers may also write it.
    pub min_reader: u32,
    /// The oldest first; the last one is running.
    pub boots: Vec<Boot>,
}

/// One boot, or one attempt that did not get far enough to be written down by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// The boot's id, 32 hexadecimal digits; absent for an attempt that the next boot found out about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// The slot it was started from.
    pub slot: Slot,
    /// The release in it.
    pub version: String,
    /// Whether the slot was still on trial.
    #[serde(default)]
    pub trial: bool,
    /// When its kernel started, seconds since 1970 by the machine's clock at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// The slots when it began, slot A first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<[SlotFacts; 2]>,
    /// How it ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// How a boot ended, as the next one found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Why.
    pub cause: Cause,
    /// The same in words, with what it was told from.
    pub words: String,
    /// What PID 1 left when it went down in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// Number of the trace that was found; one is told only once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<u64>,
    /// The last time it was seen alive, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_alive: Option<u64>,
}

/// Why a document is no boot history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Longer than any of ours.
    #[error("the boot history has {bytes} bytes, more than {MOST_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not of the agreed form.
    #[error("the boot history cannot be understood")]
    Form {
        /// Where and what.
        #[source]
        source: serde_json::Error,
    },
}

impl Default for History {
    fn default() -> Self {
        History {
            format: FORMAT,
            min_reader: FORMAT,
            boots: Vec::new(),
        }
    }
}

impl History {
    /// Reads a document.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: &[u8]) -> Result<History, HistoryError> {
        if bytes.len() > MOST_BYTES {
            return Err(HistoryError::TooLong { bytes: bytes.len() });
        }
        serde_json::from_slice(bytes).map_err(|source| HistoryError::Form { source })
    }

    /// As it is written.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether this release may write it.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.min_reader <= FORMAT
    }

    /// Closes the boot before by what was found, notes attempts in between, and opens `boot`.
    pub fn begin(&mut self, boot: Boot, evidence: &Evidence<'_>) {
        let before = self.boots.last().and_then(|before| before.slots.clone());
        let fresh = evidence.unless_told_already(&self.boots);
        let mut after = Vec::new();
        if let Some(last) = self.boots.last_mut().filter(|last| last.end.is_none()) {
            let ending = fresh
                .ending
                .filter(|ending| Some(&ending.boot_id) == last.boot_id.as_ref());
            let seen = Evidence { ending, ..fresh };
            let Verdict { end, later } = decide_cause(&seen, last);
            last.end = Some(end);
            after.extend(later.map(|end| attempt(last.slot, last.version.clone(), end)));
        }
        if let (Some(before), Some(now)) = (before, &evidence.slots) {
            let judged = self
                .boots
                .last()
                .filter(|last| failed_health(last))
                .map(|last| last.slot);
            let found = decide_attempts(&before, now).into_iter();
            let found = found.filter(|(slot, _, end)| !(end.cause == Cause::FailedHealth && judged == Some(*slot)));
            after.extend(found.map(|(slot, version, end)| attempt(slot, version, end)));
        }
        self.boots.append(&mut after);
        self.boots.push(boot);
        let too_many = self.boots.len().saturating_sub(MOST_BOOTS);
        self.boots.drain(..too_many);
        self.format = self.format.max(FORMAT);
    }

    /// The running boot and, before it, the newest that ended.
    #[must_use]
    pub fn last_ended(&self) -> Option<&Boot> {
        self.boots.iter().rev().find(|boot| boot.end.is_some())
    }
}

/// Whether its own end tells that it did not become healthy; what that cost its slot is no attempt of its own.
fn failed_health(boot: &Boot) -> bool {
    boot.end.as_ref().is_some_and(|end| end.cause == Cause::FailedHealth)
}

fn attempt(slot: Slot, version: String, end: End) -> Boot {
    Boot {
        boot_id: None,
        slot,
        version,
        trial: false,
        started: None,
        slots: None,
        end: Some(end),
    }
}

#[cfg(test)]
#[path = "history_test.rs"]
mod tests;
