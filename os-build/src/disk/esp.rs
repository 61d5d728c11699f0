//! The EFI system partition: boot loader, its configuration and one boot entry a slot.
//!
//! `EFI/Linux` holds the slots' entries and nothing else, and all their directory records lie in one sector: then a
//! rename cut short by a power failure shows either the old or the new name (`docs/formats/disk.md`).

use std::io::{self, Read, Seek, Write};

use fatfs::{FileSystem, FsOptions};
use thiserror::Error;

use super::fat::{self, FatError, Volume};

/// Folder of the boot entries.
pub const ENTRIES: &str = "EFI/Linux";
/// The loader's settings: no menu, no entry preferred, nothing to edit.
const LOADER_CONF: &[u8] = b"timeout 0\neditor no\n";
/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What goes onto the partition.
#[derive(Debug, Clone)]
pub struct Content<'a> {
    /// systemd-boot.
    pub loader: &'a [u8],
    /// File name and bytes of each boot entry.
    pub entries: Vec<(String, &'a [u8])>,
    /// Serial number of the volume.
    pub volume_id: u32,
    /// Seconds since 1970 of every time stamp.
    pub time: u64,
}

/// Why the partition could not be made.
#[derive(Debug, Error)]
pub enum EspError {
    /// The file system could not be written.
    #[error(transparent)]
    Write(#[from] FatError),
    /// It could not be read.
    #[error("FAT file system of the ESP")]
    Read(#[from] io::Error),
    /// The entries' directory records would not fit one sector.
    #[error("the boot entries need {bytes} bytes of directory, which is more than one sector")]
    Directory {
        /// Bytes needed.
        bytes: usize,
    },
}

/// Makes the file system of `bytes` bytes on `device`, which holds only zeros.
///
/// # Errors
/// See [`EspError`].
pub fn write<D: Write + Seek>(device: &mut D, bytes: u64, content: &Content<'_>) -> Result<(), EspError> {
    let needed = fat::directory_bytes(content.entries.iter().map(|(name, _)| name.as_str()));
    if needed > SECTOR {
        return Err(EspError::Directory { bytes: needed });
    }
    let volume = Volume {
        bytes,
        cluster: 4096,
        label: "KEELSON ESP",
        id: content.volume_id,
        time: content.time,
    };
    let mut files = vec![
        ("EFI/BOOT/BOOTX64.EFI".to_owned(), content.loader),
        ("loader/loader.conf".to_owned(), LOADER_CONF),
    ];
    files.extend(
        content
            .entries
            .iter()
            .map(|(name, bytes)| (format!("{ENTRIES}/{name}"), *bytes)),
    );
    Ok(fat::write(device, &volume, &files)?)
}

/// A file found on the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name as the directory has it.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Reads the boot entries.
///
/// # Errors
/// It is no FAT file system, or `EFI/Linux` cannot be read.
pub fn read_entries<D: Read + Write + Seek>(device: D) -> Result<Vec<Entry>, EspError> {
    let volume = FileSystem::new(device, FsOptions::new().update_accessed_date(false))?;
    let mut entries = Vec::new();
    for found in volume.root_dir().open_dir(ENTRIES)?.iter() {
        let found = found?;
        if found.is_file() {
            let mut bytes = Vec::new();
            found.to_file().read_to_end(&mut bytes)?;
            entries.push(Entry {
                name: found.file_name(),
                bytes,
            });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const SIZE: usize = 300 << 20;

    fn made(entries: &[(&str, &[u8])]) -> Result<Vec<u8>, EspError> {
        let mut device = vec![0; SIZE];
        let entries = entries
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), *bytes))
            .collect();
        let content = Content {
            loader: b"loader",
            entries,
            volume_id: 0x1234_5678,
            time: 1_700_000_000,
        };
        write(&mut Cursor::new(&mut device), SIZE as u64, &content)?;
        Ok(device)
    }

    #[test]
    fn entries_read_back_and_the_same_input_gives_the_same_bytes() {
        let big = vec![0xa5; 3 << 20];
        let entries: [(&str, &[u8]); 2] = [("ka+3-0.efi", &big), ("kb+3-0.efi", b"small")];
        let mut device = made(&entries).unwrap();
        assert!(device == made(&entries).unwrap());
        let found = read_entries(Cursor::new(&mut device)).unwrap();
        let names: Vec<&str> = found.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["ka+3-0.efi", "kb+3-0.efi"]);
        assert!(found[0].bytes == big);
    }

    #[test]
    fn all_records_of_the_entries_lie_in_one_sector() {
        let device = made(&[("ka+3-0.efi", b"a"), ("kb+3-0.efi", b"b")]).unwrap();
        let holds = |sector: &[u8], short: &[u8]| sector.chunks(32).any(|record| record.starts_with(short));
        let sectors: Vec<&[u8]> = device
            .chunks(SECTOR)
            .filter(|sector| holds(sector, b"KA_3-0~1EFI"))
            .collect();
        assert_eq!(sectors.len(), 1);
        assert!(holds(sectors[0], b"KB_3-0~1EFI") && holds(sectors[0], b".          "));
    }

    #[test]
    fn too_many_or_too_long_names_are_refused() {
        let long = "k".repeat(200);
        let error = made(&[(&long, b"")]).unwrap_err();
        assert!(matches!(error, EspError::Directory { .. }), "{error}");
    }
}
