//! The EFI system partition: boot loader, its configuration and one boot entry a slot.
//!
//! `EFI/Linux` holds the slots' entries and nothing else, and all their directory records lie in one sector: then a
//! rename cut short by a power failure shows either the old or the new name (`docs/formats/disk.md`).

use std::io::{self, Read, Seek, Write};

use fatfs::{Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use thiserror::Error;

/// Folder of the boot entries.
pub const ENTRIES: &str = "EFI/Linux";
/// The loader's settings: no menu, no entry preferred, nothing to edit.
const LOADER_CONF: &[u8] = b"timeout 0\neditor no\n";
/// Bytes of a directory record.
const RECORD: usize = 32;
/// Characters of a long name in one record.
const NAME_PER_RECORD: usize = 13;

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
    #[error("FAT file system of the ESP")]
    Fat(#[from] io::Error),
    /// The entries' directory records would not fit one sector.
    #[error("the boot entries need {bytes} bytes of directory, which is more than one sector")]
    Directory {
        /// Bytes needed.
        bytes: usize,
    },
}

/// Makes the file system on `device`, whose bytes are all zero.
///
/// # Errors
/// See [`EspError`].
pub fn write<D: Read + Write + Seek>(mut device: D, content: &Content<'_>) -> Result<(), EspError> {
    let bytes = directory_bytes(content.entries.iter().map(|(name, _)| name.as_str()));
    if bytes > 512 {
        return Err(EspError::Directory { bytes });
    }
    let format = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(4096)
        .volume_id(content.volume_id)
        .volume_label(*b"KEELSON ESP");
    fatfs::format_volume(&mut device, format)?;
    device.rewind()?;
    let clock: &'static Clock = Box::leak(Box::new(Clock { time: content.time }));
    let volume = FileSystem::new(&mut device, FsOptions::new().time_provider(clock))?;
    fill(&volume, content)?;
    volume.unmount()?;
    Ok(())
}

fn fill<D: Read + Write + Seek>(volume: &FileSystem<D>, content: &Content<'_>) -> io::Result<()> {
    let root = volume.root_dir();
    for folder in ["EFI", "EFI/BOOT", ENTRIES, "loader"] {
        root.create_dir(folder)?;
    }
    root.create_file("EFI/BOOT/BOOTX64.EFI")?.write_all(content.loader)?;
    root.create_file("loader/loader.conf")?.write_all(LOADER_CONF)?;
    for (name, bytes) in &content.entries {
        root.create_file(&format!("{ENTRIES}/{name}"))?.write_all(bytes)?;
    }
    Ok(())
}

/// Bytes of directory that files of these names take, with the two records every directory begins with.
#[must_use]
pub fn directory_bytes<'a>(names: impl IntoIterator<Item = &'a str>) -> usize {
    let records: usize = names
        .into_iter()
        .map(|name| 1 + name.chars().count().div_ceil(NAME_PER_RECORD))
        .sum();
    (2 + records) * RECORD
}

/// A clock that stands still.
#[derive(Debug)]
struct Clock {
    time: u64,
}

impl TimeProvider for Clock {
    fn get_current_date(&self) -> Date {
        self.get_current_date_time().date
    }

    fn get_current_date_time(&self) -> DateTime {
        let seconds = i64::try_from(self.time).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let at = jiff::tz::Offset::UTC.to_datetime(at);
        let number = |value: i8| value.unsigned_abs().into();
        DateTime {
            // FAT knows the years 1980 to 2107.
            date: Date {
                year: at.year().clamp(1980, 2107).unsigned_abs(),
                month: number(at.month()),
                day: number(at.day()),
            },
            time: Time {
                hour: number(at.hour()),
                min: number(at.minute()),
                sec: number(at.second()),
                millis: 0,
            },
        }
    }
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

    const SIZE: usize = 64 << 20;

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
        write(Cursor::new(&mut device), &content)?;
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
        let short = b"KA+3-0~1EFI"; // fatfs replaces what 8.3 names cannot hold
        let sectors: Vec<usize> = device
            .chunks(512)
            .enumerate()
            .filter(|(_, sector)| {
                sector
                    .chunks(RECORD)
                    .any(|record| record[11] == 0x20 && record.starts_with(b"K"))
            })
            .map(|(number, _)| number)
            .collect();
        assert_eq!(sectors.len(), 1, "{short:?}");
        assert_eq!(directory_bytes(["ka+3-0.efi", "kb+3-0.efi"]), 6 * RECORD);
    }

    #[test]
    fn too_many_or_too_long_names_are_refused() {
        let long = "k".repeat(200);
        let error = made(&[(&long, b"")]).unwrap_err();
        assert!(matches!(error, EspError::Directory { .. }), "{error}");
    }

    #[test]
    fn fsck_finds_nothing_to_repair() {
        let place = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(place.path(), made(&[("ka+3-0.efi", b"a")]).unwrap()).unwrap();
        let Ok(output) = std::process::Command::new("fsck.fat")
            .arg("-n")
            .arg(place.path())
            .output()
        else {
            eprintln!("skipped: fsck.fat (package dosfstools) is not installed");
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
