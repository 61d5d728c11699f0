//! The names of boot entries without mounting the partition. Every boot asks whether they are as they should be, and
//! nearly always they are: mounting for that would load a file-system driver and open the partition for writing.

use std::fs::File;
use std::path::Path;

use keelson_image_layout::{Slot, SlotState};
use keelson_volume::Volume;

use crate::entries::{Plan, plan_entry};
use crate::esp::ENTRIES;

/// Whether both slots' entries have the names their records want. `false` as well when the partition cannot be understood
/// this way: mounting it tells what is wrong.
#[must_use]
pub fn entries_agree(device: &Path, state: &SlotState) -> bool {
    names(device).is_some_and(|names| {
        [Slot::A, Slot::B]
            .iter()
            .all(|slot| plan_entry(&names, *slot, state.slot(*slot)) == Plan::Keep)
    })
}

fn names(device: &Path) -> Option<Vec<String>> {
    Volume::open(File::open(device).ok()?).ok()??.names(ENTRIES).ok()?
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use keelson_image_layout::{SlotRecord, State};

    use super::*;

    /// A partition with these names, in a file.
    fn partition(names: &[&str]) -> tempfile::NamedTempFile {
        let mut disk = Cursor::new(vec![0; 4 << 20]);
        fatfs::format_volume(&mut disk, fatfs::FormatVolumeOptions::new()).unwrap();
        {
            let volume = fatfs::FileSystem::new(&mut disk, fatfs::FsOptions::new()).unwrap();
            volume.root_dir().create_dir("EFI").unwrap();
            let entries = volume.root_dir().create_dir(ENTRIES).unwrap();
            for name in names {
                entries.create_file(name).unwrap();
            }
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), disk.into_inner()).unwrap();
        file
    }

    #[test]
    fn only_names_as_the_records_want_them_agree() {
        let record = |state| SlotRecord {
            state,
            tries: 2,
            ..SlotRecord::EMPTY
        };
        let mut state = keelson_image_layout::slot_state::boot::unknown();
        *state.slot_mut(Slot::A) = record(State::Good);
        *state.slot_mut(Slot::B) = record(State::Trial);
        for (names, expected) in [
            (&["ka.efi", "kb+2-1.efi"][..], true),
            (&["KA.EFI", "kb+1-2.efi"], true),
            (&["ka+2-1.efi", "kb+2-1.efi"], false),
            (&["ka.efi", "kb.efi"], false),
            (&["ka.efi"], false),
            (&["ka.efi", "KA_2-1~1.EFI", "kb+2-1.efi"], false),
        ] {
            assert_eq!(entries_agree(partition(names).path(), &state), expected, "{names:?}");
        }
        let nothing = tempfile::NamedTempFile::new().unwrap();
        assert!(!entries_agree(nothing.path(), &state));
        assert!(!entries_agree(Path::new("/nowhere"), &state));
    }
}
