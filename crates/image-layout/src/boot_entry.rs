//! File names of boot entries in `EFI/Linux`: `ka.efi`, `ka+3-0.efi`, `kb+0-3.efi`.
//!
//! The counter is that of the UAPI Boot Loader Specification ("Boot counting"): tries left, then tries done. Ours is
//! written with one digit each from the start, so that no rename by the loader changes the length of the name.

use std::fmt;

use thiserror::Error;

use crate::slot::Slot;

/// Tries a fresh slot gets.
pub const FRESH_TRIES: u8 = 3;

/// The loader's own count of attempts, kept in the file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// Attempts the loader will still make.
    pub left: u8,
    /// Attempts it has made.
    pub done: u8,
}

/// A boot entry's file name, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryName {
    /// The slot this entry boots.
    pub slot: Slot,
    /// `None` once the slot was found good (or the counter was lost: never proof of "good", see the slot state).
    pub counter: Option<Counter>,
}

/// Why a file name is not a boot entry of ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryNameError {
    /// It does not begin with a slot's stem.
    #[error("{name:?} does not begin with ka or kb")]
    NotASlot {
        /// The name as found.
        name: String,
    },
    /// It does not end in `.efi`.
    #[error("{name:?} does not end in .efi")]
    NotAnEntry {
        /// The name as found.
        name: String,
    },
    /// What stands between stem and ending is no counter.
    #[error("{name:?} has a malformed counter")]
    Counter {
        /// The name as found.
        name: String,
    },
}

impl EntryName {
    /// The entry of a slot on trial.
    #[must_use]
    pub const fn trial(slot: Slot, left: u8) -> EntryName {
        EntryName {
            slot,
            counter: Some(Counter {
                left,
                done: FRESH_TRIES.saturating_sub(left),
            }),
        }
    }

    /// The entry of a slot found good.
    #[must_use]
    pub const fn good(slot: Slot) -> EntryName {
        EntryName { slot, counter: None }
    }

    /// The entry the loader shall take only when nothing else is left.
    #[must_use]
    pub const fn bad(slot: Slot) -> EntryName {
        EntryName {
            slot,
            counter: Some(Counter {
                left: 0,
                done: FRESH_TRIES,
            }),
        }
    }

    /// Whether the loader puts this entry behind all others.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.counter.is_some_and(|counter| counter.left == 0)
    }

    /// Reads a file name. FAT does not keep case reliably, so case is ignored.
    ///
    /// # Errors
    /// Says which part of the name is not of our form.
    pub fn parse(name: &str) -> Result<EntryName, EntryNameError> {
        let lower = name.to_ascii_lowercase();
        let stem = lower
            .strip_suffix(".efi")
            .ok_or_else(|| EntryNameError::NotAnEntry { name: name.to_owned() })?;
        let (slot, rest) = Slot::ALL
            .into_iter()
            .find_map(|slot| Some((slot, stem.strip_prefix(slot.entry_stem())?)))
            .ok_or_else(|| EntryNameError::NotASlot { name: name.to_owned() })?;
        if rest.is_empty() {
            return Ok(EntryName::good(slot));
        }
        let counter = rest
            .strip_prefix('+')
            .and_then(parse_counter)
            .ok_or_else(|| EntryNameError::Counter { name: name.to_owned() })?;
        Ok(EntryName {
            slot,
            counter: Some(counter),
        })
    }
}

/// `3`, `3-0`: tries done may be missing, as the specification allows.
fn parse_counter(text: &str) -> Option<Counter> {
    let (left, done) = text.split_once('-').unwrap_or((text, "0"));
    Some(Counter {
        left: parse_count(left)?,
        done: parse_count(done)?,
    })
}

fn parse_count(text: &str) -> Option<u8> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slot.entry_stem())?;
        if let Some(Counter { left, done }) = self.counter {
            write!(f, "+{left}-{done}")?;
        }
        f.write_str(".efi")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_loader_and_update_write() {
        let table = [
            ("ka.efi", EntryName::good(Slot::A)),
            ("KB.EFI", EntryName::good(Slot::B)),
            ("ka+3-0.efi", EntryName::trial(Slot::A, 3)),
            ("kb+2-1.efi", EntryName::trial(Slot::B, 2)),
            ("kb+3.efi", EntryName::trial(Slot::B, 3)),
            ("ka+0-3.efi", EntryName::bad(Slot::A)),
        ];
        for (name, expected) in table {
            assert_eq!(EntryName::parse(name), Ok(expected), "{name}");
        }
    }

    #[test]
    fn refuses_names_that_are_not_ours() {
        for name in [
            "",
            ".efi",
            "ka",
            "kc.efi",
            "ka+.efi",
            "ka+x.efi",
            "ka+3-.efi",
            "ka+-1.efi",
            "ka-3.efi",
            "ka+256-0.efi",
            "ka+3-0.efi.tmp",
            "KEELSO~2.EFI",
            "ka+3-0-1.efi",
            "ka++3.efi",
        ] {
            assert!(EntryName::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn names_stay_within_thirteen_characters() {
        for slot in Slot::ALL {
            for left in 0..=FRESH_TRIES {
                assert!(EntryName::trial(slot, left).to_string().len() <= 13);
            }
        }
    }

    proptest! {
        #[test]
        fn every_name_reads_back(b in any::<bool>(), counter in proptest::option::of((any::<u8>(), any::<u8>()))) {
            let slot = if b { Slot::B } else { Slot::A };
            let name = EntryName { slot, counter: counter.map(|(left, done)| Counter { left, done }) };
            prop_assert_eq!(EntryName::parse(&name.to_string()), Ok(name));
        }
    }
}
