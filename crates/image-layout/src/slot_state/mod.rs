//! The slot-state record: what is known of each slot, kept beside the boot loader's own counter because that one can
//! be lost in a power cut. Two checksummed copies lie on a raw partition; the newer valid one counts, and the other is
//! the next to be overwritten.
//!
//! Bytes: `docs/formats/slot-state.md`. Decisions on top of the record: [`boot`], [`update`], [`decide`].

pub mod boot;
mod bytes;
pub mod decide;
pub mod update;

pub use bytes::{COPY_BYTES, COPY_OFFSETS, DecodeError, FORMAT};

use serde::{Deserialize, Serialize};

use crate::slot::Slot;
use crate::verity::RootHash;

/// What is known of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum State {
    /// Nothing bootable.
    Empty = 0,
    /// An update is being written: never boot it.
    Writing = 1,
    /// Complete, not yet proven.
    Trial = 2,
    /// Reached `boot-complete` and was committed.
    Good = 3,
    /// Refused: see the reason.
    Bad = 4,
}

/// Why a slot last lost a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u16)]
pub enum Reason {
    /// No failure is recorded.
    None = 0,
    /// A block did not match its hash, or could not be read.
    Corruption = 1,
    /// The kernel panicked.
    Panic = 2,
    /// The watchdog fired.
    Watchdog = 3,
    /// Health checks failed, or `boot-complete` was not reached in time.
    Health = 4,
    /// All tries were used without reaching `boot-complete`.
    Tries = 5,
    /// An operator or an update replaced it on purpose.
    Replaced = 6,
    /// A reason a newer release wrote.
    Other = 0xffff,
}

/// One slot's part of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotRecord {
    /// What is known.
    pub state: State,
    /// Boots this slot may still begin; counted by the initramfs.
    pub tries: u8,
    /// Why it last lost one.
    pub reason: Reason,
    /// Version of the release in it, UTF-8, padded with zeros.
    pub version: [u8; 32],
    /// Root hash of its root.
    pub root_hash: [u8; 32],
    /// SHA-256 of its boot entry's file.
    pub uki_sha256: [u8; 32],
    /// Digest of the configuration generation it was committed with; zeros if none.
    pub config_digest: [u8; 32],
}

impl SlotRecord {
    /// A slot nothing was written to.
    pub const EMPTY: SlotRecord = SlotRecord {
        state: State::Empty,
        tries: 0,
        reason: Reason::None,
        version: [0; 32],
        root_hash: [0; 32],
        uki_sha256: [0; 32],
        config_digest: [0; 32],
    };

    /// The version as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn version_text(&self) -> String {
        let end = self
            .version
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(self.version.len());
        String::from_utf8_lossy(self.version.get(..end).unwrap_or_default()).into_owned()
    }

    /// A version as the record stores it; cut at 32 bytes.
    #[must_use]
    pub fn version_bytes(text: &str) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        bytes
    }
}

/// A release that failed on this machine; it is not tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Root hash of its root.
    pub root_hash: [u8; 32],
    /// What it was given up for.
    pub reason: Reason,
}

/// Failed releases that are remembered beside those that still lie in a slot.
pub const MOST_REJECTED: usize = 16;

/// The whole record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotState {
    /// Oldest format whose readers may also write this record.
    pub min_reader: u16,
    /// Counts every write; the copy with the higher number is the newer one.
    pub seq: u64,
    /// Slot A, slot B.
    pub slots: [SlotRecord; 2],
    /// The slot a boot was last begun from: the one a trace found later belongs to.
    pub last_booted: Option<Slot>,
    /// Number of the newest trace of a failure that was counted already; 0 if none was.
    pub counted_trace: u64,
    /// Releases that were given up and overwritten since, the oldest first; at most [`MOST_REJECTED`].
    pub rejected: Vec<Rejected>,
}

/// What the two copies hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A record this release may read and write.
    Record(Box<Current>),
    /// A record only newer releases may write: it is left alone.
    Newer {
        /// The format it asks for.
        min_reader: u16,
    },
    /// Neither copy decodes.
    Nothing,
}

/// Which copy holds the record in force, and what that copy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// The record.
    pub state: SlotState,
    /// The copy to overwrite next: the one that is older or damaged. 0 or 1.
    pub next_copy: usize,
}

impl SlotState {
    /// The record of a fresh image or an emptied disk.
    #[must_use]
    pub const fn new(slots: [SlotRecord; 2]) -> SlotState {
        SlotState {
            min_reader: FORMAT,
            seq: 1,
            slots,
            last_booted: None,
            counted_trace: 0,
            rejected: Vec::new(),
        }
    }

    /// One slot's record.
    #[must_use]
    pub fn slot(&self, slot: Slot) -> &SlotRecord {
        let [a, b] = &self.slots;
        match slot {
            Slot::A => a,
            Slot::B => b,
        }
    }

    /// One slot's record, to be changed.
    pub fn slot_mut(&mut self, slot: Slot) -> &mut SlotRecord {
        let [a, b] = &mut self.slots;
        match slot {
            Slot::A => a,
            Slot::B => b,
        }
    }

    /// Whether some slot has proven itself.
    #[must_use]
    pub fn any_good(&self) -> bool {
        self.slots.iter().any(|slot| slot.state == State::Good)
    }

    /// What a release was given up for on this machine: one that lies in a slot, or one that was overwritten since.
    #[must_use]
    pub fn rejection(&self, root_hash: &RootHash) -> Option<Reason> {
        let in_slot = self.slots.iter().find(|slot| slot.root_hash == root_hash.0);
        let in_slot = in_slot.filter(|slot| slot.state == State::Bad).map(|slot| slot.reason);
        let before = || self.rejected.iter().find(|entry| entry.root_hash == root_hash.0);
        in_slot.or_else(|| before().map(|entry| entry.reason))
    }

    /// Root hashes of all releases that were given up.
    #[must_use]
    pub fn rejected_roots(&self) -> Vec<RootHash> {
        let in_slots = self
            .slots
            .iter()
            .filter(|slot| slot.state == State::Bad)
            .map(|slot| slot.root_hash);
        let before = self.rejected.iter().map(|entry| entry.root_hash);
        in_slots.chain(before).map(RootHash).collect()
    }

    /// Remembers what lies in `slot` if it was given up; to be called before the slot's record is overwritten.
    pub(crate) fn remember_rejected(&mut self, slot: Slot) {
        let record = self.slot(slot);
        if record.state != State::Bad || record.root_hash == [0; 32] {
            return;
        }
        let entry = Rejected {
            root_hash: record.root_hash,
            reason: record.reason,
        };
        self.rejected.retain(|known| known.root_hash != entry.root_hash);
        self.rejected.push(entry);
        let too_many = self.rejected.len().saturating_sub(MOST_REJECTED);
        self.rejected.drain(..too_many);
    }

    /// What the two copies as read hold. One copy of a newer format is enough to leave both alone.
    #[must_use]
    pub fn find(copy0: &[u8], copy1: &[u8]) -> Found {
        for copy in [copy0, copy1] {
            if let Err(DecodeError::TooNew { min_reader }) = SlotState::decode(copy) {
                return Found::Newer { min_reader };
            }
        }
        SlotState::newest(copy0, copy1).map_or(Found::Nothing, |current| Found::Record(Box::new(current)))
    }

    /// The record in force, out of the two copies as read. `None` if neither decodes.
    #[must_use]
    pub fn newest(copy0: &[u8], copy1: &[u8]) -> Option<Current> {
        match (SlotState::decode(copy0).ok(), SlotState::decode(copy1).ok()) {
            (Some(first), Some(second)) if second.seq > first.seq => Some(Current {
                state: second,
                next_copy: 0,
            }),
            (Some(first), _) => Some(Current {
                state: first,
                next_copy: 1,
            }),
            (None, Some(second)) => Some(Current {
                state: second,
                next_copy: 0,
            }),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_seq(seq: u64) -> [u8; COPY_BYTES] {
        SlotState {
            seq,
            ..SlotState::new([SlotRecord::EMPTY, SlotRecord::EMPTY])
        }
        .encode()
    }

    #[test]
    fn the_newer_valid_copy_counts_and_the_other_is_written_next() {
        let torn = [0xffu8; COPY_BYTES];
        let table = [
            (with_seq(1), with_seq(2), Some((2, 0))),
            (with_seq(3), with_seq(2), Some((3, 1))),
            (with_seq(3), torn, Some((3, 1))),
            (torn, with_seq(2), Some((2, 0))),
            (torn, torn, None),
        ];
        for (first, second, expected) in table {
            let found = SlotState::newest(&first, &second).map(|current| (current.state.seq, current.next_copy));
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_copy_of_a_newer_format_is_never_overwritten() {
        let newer = SlotState {
            min_reader: FORMAT + 1,
            ..SlotState::new([SlotRecord::EMPTY, SlotRecord::EMPTY])
        };
        for (first, second) in [(newer.encode(), with_seq(9)), (with_seq(9), newer.encode())] {
            let found = SlotState::find(&first, &second);
            assert_eq!(found, Found::Newer { min_reader: FORMAT + 1 });
        }
        assert_eq!(SlotState::find(&[], &[]), Found::Nothing);
    }

    #[test]
    fn version_text_reads_back() {
        let record = SlotRecord {
            version: SlotRecord::version_bytes("1.2.3"),
            ..SlotRecord::EMPTY
        };
        assert_eq!(record.version_text(), "1.2.3");
        let long = "x".repeat(40);
        let record = SlotRecord {
            version: SlotRecord::version_bytes(&long),
            ..SlotRecord::EMPTY
        };
        assert_eq!(record.version_text().len(), 32);
    }
}
