//! Whether a boot entry fits the EFI system partition, and its name the one sector of its directory. Pure; asked before
//! anything is downloaded, and again before the file is written.

use keelson_image_layout::Slot;
use thiserror::Error;

use crate::entries::belongs_to;

/// Directory records of 32 bytes in the one sector that `EFI/Linux` may take.
const RECORDS: usize = 16;
/// `.` and `..`.
const OWN_RECORDS: usize = 2;
/// Characters of a long name that one record holds.
const CHARACTERS: usize = 13;
/// What stays free for the loader's own files and for names.
const RESERVE: u64 = 1 << 20;

/// What the EFI system partition has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Free bytes.
    pub free: u64,
    /// Bytes a file grows by.
    pub cluster: u64,
    /// Names and lengths of the files in `EFI/Linux`.
    pub files: Vec<(String, u64)>,
}

/// Why an entry does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoRoom {
    /// Too few free bytes.
    #[error(
        "the boot entry needs {needed} bytes of the EFI system partition, {free} are free: remove what does not belong there"
    )]
    Bytes {
        /// Bytes it takes, with the reserve.
        needed: u64,
        /// Bytes there would be once the slot's old entry is gone.
        free: u64,
    },
    /// The names would leave the first sector of their directory, where a rename cut short can lose one.
    #[error("EFI/Linux would hold {records} directory records, more than {RECORDS}: remove what does not belong there")]
    Records {
        /// Records there would be.
        records: usize,
    },
}

/// Whether an entry of `bytes` bytes can be written for `slot`, whose old one is removed first.
///
/// # Errors
/// [`NoRoom`], with the figures.
pub fn decide_room(room: &Room, slot: Slot, bytes: u64) -> Result<(), NoRoom> {
    let (old, others): (Vec<_>, Vec<_>) = room.files.iter().partition(|(name, _)| goes(name, slot));
    let taken = |bytes: u64| bytes.div_ceil(room.cluster).saturating_mul(room.cluster);
    let given_back: u64 = old.iter().map(|(_, bytes)| taken(*bytes)).sum();
    let needed = taken(bytes).saturating_add(RESERVE);
    let free = room.free.saturating_add(given_back);
    if free < needed {
        return Err(NoRoom::Bytes { needed, free });
    }
    // While it is renamed, the new entry has both its names.
    let new = [
        temporary(slot),
        keelson_image_layout::EntryName::trial(slot, 3).to_string(),
    ];
    let names = others.iter().map(|(name, _)| name).chain(&new);
    let records = OWN_RECORDS + names.map(|name| records(name)).sum::<usize>();
    if records > RECORDS {
        return Err(NoRoom::Records { records });
    }
    Ok(())
}

/// The name of an entry that is not complete: one that no loader takes for an entry.
#[must_use]
pub fn temporary(slot: Slot) -> String {
    format!("{}.new", slot.entry_stem())
}

/// What makes way for a new entry of the slot: the old one, and what a cut left of a new one.
#[must_use]
pub fn goes(name: &str, slot: Slot) -> bool {
    belongs_to(name, slot) || name.eq_ignore_ascii_case(&temporary(slot))
}

/// Directory records of a name: its long form in pieces, and the short one.
fn records(name: &str) -> usize {
    1 + name.chars().count().div_ceil(CHARACTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn room(free: u64, files: &[(&str, u64)]) -> Room {
        Room {
            free,
            cluster: 4096,
            files: files.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect(),
        }
    }

    #[test]
    fn the_old_entry_and_a_torn_new_one_make_way() {
        let files = [("ka.efi", 14 * MIB), ("kb+0-3.efi", 14 * MIB), ("kb.new", 3 * MIB)];
        assert_eq!(decide_room(&room(0, &files), Slot::B, 16 * MIB), Ok(()));
        let refused = decide_room(&room(0, &files), Slot::B, 16 * MIB + 1);
        let (needed, free) = (17 * MIB + 4096, 17 * MIB);
        assert_eq!(refused, Err(NoRoom::Bytes { needed, free }));
        let refused = decide_room(&room(0, &files[..1]), Slot::B, MIB);
        assert!(matches!(refused, Err(NoRoom::Bytes { free: 0, .. })));
    }

    #[test]
    fn the_directory_stays_within_its_first_sector() {
        let mut files = vec![("ka.efi", 1)];
        assert_eq!(decide_room(&room(MIB * 99, &files), Slot::B, 1), Ok(()));
        files.extend([("x.efi", 1); 4]);
        assert_eq!(decide_room(&room(MIB * 99, &files), Slot::B, 1), Ok(()));
        files.push(("y", 1));
        let refused = decide_room(&room(MIB * 99, &files), Slot::B, 1);
        assert_eq!(refused, Err(NoRoom::Records { records: 18 }));
    }

    #[test]
    fn an_incomplete_entry_is_no_entry() {
        for slot in Slot::ALL {
            let name = temporary(slot);
            assert!(name.len() <= CHARACTERS && !name.ends_with(".efi"));
            assert!(!belongs_to(&name, slot) && goes(&name, slot) && !goes(&name, slot.other()));
        }
    }
}
