//! The record's bytes: 4096, little-endian, CRC-32C of all before it in the last four.

use thiserror::Error;

use super::{MOST_REJECTED, Reason, Rejected, SlotRecord, SlotState, State};
use crate::slot::Slot;

/// Bytes of one copy.
pub const COPY_BYTES: usize = 4096;
/// Where the two copies begin on the partition, in bytes.
pub const COPY_OFFSETS: [u64; 2] = [0, 512 << 10];
/// The format this release writes.
pub const FORMAT: u16 = 1;

const MAGIC: [u8; 8] = *b"KEELSLOT";
const SLOT_BYTES: usize = 132;
const SLOTS_AT: usize = 20;
const CRC_AT: usize = COPY_BYTES - 4;

/// Why bytes are no slot-state record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Fewer than 4096 bytes.
    #[error("slot-state record has {found} bytes instead of {COPY_BYTES}")]
    Length {
        /// Bytes given.
        found: usize,
    },
    /// It does not begin with `KEELSLOT`.
    #[error("slot-state record has no magic")]
    Magic,
    /// The checksum does not match: a torn write or a damaged medium.
    #[error("slot-state record has a wrong checksum")]
    Checksum,
    /// Only releases from a newer format on can read it.
    #[error("slot-state record needs a reader of format {min_reader}, this release reads {FORMAT}")]
    TooNew {
        /// What it asks for.
        min_reader: u16,
    },
    /// A state no release knows.
    #[error("slot-state record has the unknown state {found}")]
    UnknownState {
        /// As found.
        found: u8,
    },
}

impl State {
    fn from_byte(byte: u8) -> Result<State, DecodeError> {
        Ok(match byte {
            0 => State::Empty,
            1 => State::Writing,
            2 => State::Trial,
            3 => State::Good,
            4 => State::Bad,
            found => return Err(DecodeError::UnknownState { found }),
        })
    }
}

impl Reason {
    fn from_number(number: u16) -> Reason {
        match number {
            0 => Reason::None,
            1 => Reason::Corruption,
            2 => Reason::Panic,
            3 => Reason::Watchdog,
            4 => Reason::Health,
            5 => Reason::Tries,
            6 => Reason::Replaced,
            _ => Reason::Other,
        }
    }
}

/// Reads fields one after another; what lies beyond the end reads as zeros, which cannot happen on 4096 bytes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        if let Some((head, tail)) = self.0.split_at_checked(N) {
            bytes.copy_from_slice(head);
            self.0 = tail;
        }
        bytes
    }

    fn slot(&mut self) -> Result<SlotRecord, DecodeError> {
        let [state] = self.take();
        let [tries] = self.take();
        Ok(SlotRecord {
            state: State::from_byte(state)?,
            tries,
            reason: Reason::from_number(u16::from_le_bytes(self.take())),
            version: self.take(),
            root_hash: self.take(),
            uki_sha256: self.take(),
            config_digest: self.take(),
        })
    }
}

impl Fields<'_> {
    /// A place without a root hash is free.
    fn rejected(&mut self) -> Option<Rejected> {
        let [low, high, _, _] = self.take();
        let root_hash = self.take();
        (root_hash != [0; 32]).then(|| Rejected {
            root_hash,
            reason: Reason::from_number(u16::from_le_bytes([low, high])),
        })
    }
}

impl SlotRecord {
    fn put(&self, to: &mut Vec<u8>) {
        to.extend([self.state as u8, self.tries]);
        to.extend((self.reason as u16).to_le_bytes());
        for field in [&self.version, &self.root_hash, &self.uki_sha256, &self.config_digest] {
            to.extend(field);
        }
    }
}

impl SlotState {
    /// The record as one copy stores it.
    #[must_use]
    pub fn encode(&self) -> [u8; COPY_BYTES] {
        let mut body = Vec::with_capacity(SLOTS_AT + 2 * SLOT_BYTES);
        body.extend(MAGIC);
        body.extend(FORMAT.to_le_bytes());
        body.extend(self.min_reader.to_le_bytes());
        body.extend(self.seq.to_le_bytes());
        self.slots.iter().for_each(|slot| slot.put(&mut body));
        body.extend([self.last_booted.map_or(0, |slot| slot.index() as u8 + 1), 0, 0, 0]);
        body.extend(self.counted_trace.to_le_bytes());
        for Rejected { root_hash, reason } in self.rejected.iter().take(MOST_REJECTED) {
            body.extend((*reason as u32).to_le_bytes());
            body.extend(root_hash);
        }
        let mut copy = [0; COPY_BYTES];
        copy.iter_mut().zip(&body).for_each(|(to, from)| *to = *from);
        let (head, tail) = copy.split_at_mut(CRC_AT);
        tail.copy_from_slice(&crc32c::crc32c(head).to_le_bytes());
        copy
    }

    /// Reads one copy.
    ///
    /// # Errors
    /// Says why the bytes are no record; the caller then takes the other copy.
    pub fn decode(copy: &[u8]) -> Result<SlotState, DecodeError> {
        let copy = copy
            .get(..COPY_BYTES)
            .ok_or(DecodeError::Length { found: copy.len() })?;
        let (head, mut tail) = (
            copy.get(..CRC_AT).unwrap_or_default(),
            Fields(copy.get(CRC_AT..).unwrap_or_default()),
        );
        let mut fields = Fields(head);
        if fields.take() != MAGIC {
            return Err(DecodeError::Magic);
        }
        if u32::from_le_bytes(tail.take()) != crc32c::crc32c(head) {
            return Err(DecodeError::Checksum);
        }
        let _format: [u8; 2] = fields.take();
        let min_reader = u16::from_le_bytes(fields.take());
        if min_reader > FORMAT {
            return Err(DecodeError::TooNew { min_reader });
        }
        let seq = u64::from_le_bytes(fields.take());
        Ok(SlotState {
            min_reader,
            seq,
            slots: [fields.slot()?, fields.slot()?],
            last_booted: match fields.take::<4>() {
                [1, ..] => Some(Slot::A),
                [2, ..] => Some(Slot::B),
                _ => None,
            },
            counted_trace: u64::from_le_bytes(fields.take()),
            rejected: (0..MOST_REJECTED).filter_map(|_| fields.rejected()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> SlotState {
        let slot = SlotRecord {
            state: State::Trial,
            tries: 3,
            reason: Reason::Corruption,
            version: SlotRecord::version_bytes("0.1.0"),
            root_hash: [1; 32],
            uki_sha256: [2; 32],
            config_digest: [3; 32],
        };
        SlotState::new([
            slot.clone(),
            SlotRecord {
                state: State::Good,
                ..slot
            },
        ])
    }

    #[test]
    fn fields_lie_where_the_format_page_says() {
        let copy = sample().encode();
        assert_eq!(&copy[..8], b"KEELSLOT");
        assert_eq!(copy[8..12], [1, 0, 1, 0]);
        assert_eq!(copy[12..20], 1u64.to_le_bytes());
        assert_eq!(copy[20..24], [2, 3, 1, 0]);
        assert_eq!(&copy[24..29], b"0.1.0");
        assert_eq!(copy[56], 1);
        assert_eq!(copy[88], 2);
        assert_eq!(copy[120], 3);
        assert_eq!(copy[152], 3, "slot B begins after 132 bytes");
        assert!(copy[284..4092].iter().all(|byte| *byte == 0));
        let booted = SlotState {
            last_booted: Some(Slot::B),
            counted_trace: 7,
            ..sample()
        };
        assert_eq!(booted.encode()[284..296], [2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(SlotState::decode(&booted.encode()), Ok(booted));
    }

    #[test]
    fn releases_given_up_follow_from_byte_296() {
        let entry = |byte| Rejected {
            root_hash: [byte; 32],
            reason: Reason::Health,
        };
        let state = SlotState {
            rejected: (1..=MOST_REJECTED as u8).map(entry).collect(),
            ..sample()
        };
        let copy = state.encode();
        assert_eq!(copy[296..301], [4, 0, 0, 0, 1]);
        assert_eq!(copy[332..337], [4, 0, 0, 0, 2]);
        assert_eq!((copy[871], copy[872]), (MOST_REJECTED as u8, 0));
        assert_eq!(SlotState::decode(&copy), Ok(state));
    }

    #[test]
    fn a_record_for_newer_readers_only_is_left_alone() {
        let state = SlotState {
            min_reader: FORMAT + 1,
            ..sample()
        };
        assert_eq!(
            SlotState::decode(&state.encode()),
            Err(DecodeError::TooNew { min_reader: FORMAT + 1 })
        );
    }

    #[test]
    fn short_input_is_refused() {
        assert_eq!(SlotState::decode(&[0; 10]), Err(DecodeError::Length { found: 10 }));
    }

    proptest! {
        #[test]
        fn every_changed_byte_is_noticed(at in 0..COPY_BYTES, flip in 1..=255u8) {
            let mut copy = sample().encode();
            copy[at] ^= flip;
            prop_assert!(SlotState::decode(&copy).is_err());
        }

        #[test]
        fn a_torn_write_is_noticed(at in 1..COPY_BYTES) {
            let old = sample().encode();
            let new = SlotState { seq: 2, ..sample() }.encode();
            let torn: Vec<u8> = new[..at].iter().chain(&old[at..]).copied().collect();
            if torn != old && torn != new {
                prop_assert!(SlotState::decode(&torn).is_err());
            }
        }
    }
}
