//! Boot entries without mounting the partition, which is mounted only while it is written. Every boot asks whether their
//! names are as they should be, and nearly always they are; every look for updates asks what the running one is.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use keelson_image_layout::{Slot, SlotState};
use keelson_volume::Volume;

use crate::entries::{Plan, belongs_to, plan_entry};
use crate::esp::{ENTRIES, Esp, EspError};

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

/// Names of the boot entries, on a partition or below a directory.
///
/// # Errors
/// [`EspError`]: there is no such file system, also after trying to mount it.
pub fn entry_names(place: &Path) -> Result<Vec<String>, EspError> {
    match names(place) {
        Some(names) => Ok(names),
        None => Esp::open(place)?.names(),
    }
}

/// Content of the entry of a slot, `None` when it has none. For an entry that nobody writes meanwhile, as the running
/// one: the kernel keeps what is read here apart from what a mount writes.
///
/// # Errors
/// It cannot be read, or has more than `limit` bytes.
pub fn read_entry(place: &Path, slot: Slot, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let names = entry_names(place).map_err(io::Error::other)?;
    let Some(name) = names.iter().find(|name| belongs_to(name, slot)) else {
        return Ok(None);
    };
    let path = format!("{ENTRIES}/{name}");
    if place.is_dir() {
        return fs::read(place.join(path)).map(Some);
    }
    let volume = Volume::open(File::open(place)?).map_err(io::Error::other)?;
    let content = volume.map(|volume| volume.file(&path, limit)).transpose();
    content.map(Option::flatten).map_err(io::Error::other)
}

fn names(device: &Path) -> Option<Vec<String>> {
    Volume::open(File::open(device).ok()?).ok()??.names(ENTRIES).ok()?
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

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
                entries.create_file(name).unwrap().write_all(name.as_bytes()).unwrap();
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
        let esp = partition(&["ka.efi", "kb+2-1.efi"]);
        assert_eq!(entry_names(esp.path()).unwrap(), ["ka.efi", "kb+2-1.efi"]);
        assert_eq!(read_entry(esp.path(), Slot::B, 99).unwrap().unwrap(), b"kb+2-1.efi");
        assert!(read_entry(esp.path(), Slot::B, 9).is_err());
        assert!(
            read_entry(partition(&["ka.efi"]).path(), Slot::B, 99)
                .unwrap()
                .is_none()
        );
        let nothing = tempfile::NamedTempFile::new().unwrap();
        assert!(!entries_agree(nothing.path(), &state));
        assert!(!entries_agree(Path::new("/nowhere"), &state));
    }
}
