//! The EFI system partition: boot loader, its configuration and one boot entry a slot.
//!
//! `EFI/Linux` holds the slots' entries and nothing else, and all their directory records lie in one sector: then a
//! rename cut short by a power failure shows either the old or the new name (`docs/formats/disk.md`).

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use fatfs::{Dir, FileSystem, FsOptions, ReadWriteSeek};
use rustix::fs::{FallocateFlags, fallocate};
use thiserror::Error;

use super::fat::{self, FatError, Volume};
use super::region::Region;

/// Folder of the boot entries.
pub const ENTRIES: &str = "EFI/Linux";
/// The boot loader, where firmware looks without being told.
pub const LOADER: &str = "EFI/BOOT/BOOTX64.EFI";
/// The loader's settings: no menu, no entry preferred, nothing to edit.
pub const LOADER_CONF: &[u8] = b"timeout 0\neditor no\n";
/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
/// Bytes of a cluster on a system disk.
const CLUSTER: u32 = 4096;
/// Folders in folders that are followed.
const DEPTH: u8 = 8;

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
    let file = |path: &str, bytes: &[u8]| Held {
        path: path.to_owned(),
        bytes: bytes.to_vec(),
    };
    let mut files = vec![file(LOADER, content.loader), file("loader/loader.conf", LOADER_CONF)];
    let entries = content.entries.iter();
    files.extend(entries.map(|(name, bytes)| file(&format!("{ENTRIES}/{name}"), bytes)));
    let volume = Contents {
        files,
        id: content.volume_id,
        time: content.time,
    };
    write_volume(device, bytes, &volume)
}

/// A file of the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Path from the top, without a leading slash.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Everything on the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The files, in the order of the directories.
    pub files: Vec<Held>,
    /// Serial number of the volume.
    pub id: u32,
    /// Seconds since 1970 of every time stamp.
    pub time: u64,
}

/// Makes the file system of `bytes` bytes on `device`, which holds only zeros, with any files.
///
/// # Errors
/// See [`EspError`].
pub fn write_volume<D: Write + Seek>(device: &mut D, bytes: u64, contents: &Contents) -> Result<(), EspError> {
    write_clusters(device, bytes, CLUSTER, contents)
}

/// The same with clusters of another size.
///
/// # Errors
/// See [`EspError`].
pub fn write_clusters<D: Write + Seek>(
    device: &mut D,
    bytes: u64,
    cluster: u32,
    contents: &Contents,
) -> Result<(), EspError> {
    let names = contents
        .files
        .iter()
        .filter_map(|file| file.path.strip_prefix(ENTRIES)?.strip_prefix('/'));
    let needed = fat::directory_bytes(names);
    if needed > SECTOR {
        return Err(EspError::Directory { bytes: needed });
    }
    let volume = Volume {
        bytes,
        cluster,
        label: "KEELSON ESP",
        id: contents.id,
        time: contents.time,
    };
    let files: Vec<(String, &[u8])> = contents
        .files
        .iter()
        .map(|file| (file.path.clone(), file.bytes.as_slice()))
        .collect();
    Ok(fat::write(device, &volume, &files)?)
}

/// Reads everything. The time is that of the boot loader.
///
/// # Errors
/// It is no FAT file system, or cannot be read.
pub fn read<D: Read + Write + Seek>(device: D) -> Result<Contents, EspError> {
    let volume = FileSystem::new(device, FsOptions::new().update_accessed_date(false))?;
    let mut contents = Contents {
        files: Vec::new(),
        id: volume.volume_id(),
        time: 0,
    };
    read_folder(&volume.root_dir(), "", &mut contents, DEPTH)?;
    Ok(contents)
}

/// Changes the files of the partition at `start..start + len` of a disk, which is written anew.
///
/// # Errors
/// See [`EspError`]; `change` may fail with errors of its own kind.
pub fn change<T, E: From<EspError>>(
    disk: &File,
    (start, len): (u64, u64),
    change: impl FnOnce(&mut Contents) -> Result<T, E>,
) -> Result<T, E> {
    let mut contents = read(Region::new(disk, start, len))?;
    let changed = change(&mut contents)?;
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(disk, hole, start, len).map_err(|errno| EspError::Read(errno.into()))?;
    write_volume(&mut Region::new(disk, start, len), len, &contents)?;
    Ok(changed)
}

fn read_folder<D: ReadWriteSeek>(
    folder: &Dir<'_, D>,
    at: &str,
    into: &mut Contents,
    depth: u8,
) -> Result<(), EspError> {
    for found in folder.iter() {
        let found = found?;
        let name = found.file_name();
        let path = format!("{at}{name}");
        if found.is_file() {
            if path == LOADER {
                into.time = seconds(found.modified());
            }
            let mut bytes = Vec::new();
            found.to_file().read_to_end(&mut bytes)?;
            into.files.push(Held { path, bytes });
        } else if name != "." && name != ".." && depth > 0 {
            read_folder(&found.to_dir(), &format!("{path}/"), into, depth - 1)?;
        }
    }
    Ok(())
}

/// FAT has no time zones; ours are UTC.
fn seconds(stamp: fatfs::DateTime) -> u64 {
    let small = |value: u16| i8::try_from(value).unwrap_or_default();
    let (date, time) = (stamp.date, stamp.time);
    let year = i16::try_from(date.year).unwrap_or_default();
    let (hour, min, sec) = (small(time.hour), small(time.min), small(time.sec));
    jiff::civil::DateTime::new(year, small(date.month), small(date.day), hour, min, sec, 0)
        .and_then(|moment| jiff::tz::Offset::UTC.to_timestamp(moment))
        .map_or(0, |moment| u64::try_from(moment.as_second()).unwrap_or_default())
}

/// A boot entry found on the partition.
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
    Ok(entries(read(device)?.files))
}

/// The boot entries among the files.
#[must_use]
pub fn entries(files: Vec<Held>) -> Vec<Entry> {
    let entry = |file: Held| {
        let name = file.path.strip_prefix(ENTRIES)?.strip_prefix('/')?.to_owned();
        let bytes = file.bytes;
        (!name.contains('/')).then_some(Entry { name, bytes })
    };
    let mut entries: Vec<Entry> = files.into_iter().filter_map(entry).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
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
        let contents = read(Cursor::new(&mut device)).unwrap();
        assert_eq!((contents.id, contents.time), (0x1234_5678, 1_700_000_000));
        let mut again = vec![0; SIZE];
        write_volume(&mut Cursor::new(&mut again), SIZE as u64, &contents).unwrap();
        assert_eq!(read(Cursor::new(&mut again)).unwrap(), contents);
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
