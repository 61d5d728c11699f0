//! The partition table. Identities in an image follow from the release, so that the same input gives the same bytes;
//! a machine replaces them by its own on first boot.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};

use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types::{OperatingSystem, Type};
use keelson_image_layout::Part;
use keelson_image_layout::partitions::{ALIGNMENT, SECTOR};
use thiserror::Error;
use uuid::Uuid;

/// Everything our identities are derived from.
const NAMESPACE: Uuid = uuid::uuid!("6b65656c-736f-4e0a-8000-64697363206f");

/// Why the table could not be written or read.
#[derive(Debug, Error)]
pub enum TableError {
    /// The GPT library refused.
    #[error("partition table")]
    Gpt(#[from] gpt::GptError),
    /// The protective MBR could not be written.
    #[error("protective MBR")]
    Mbr(#[from] gpt::mbr::MBRError),
    /// The disk is too small.
    #[error("a disk of {bytes} bytes has no room for the state partition")]
    TooSmall {
        /// Size of the disk.
        bytes: u64,
    },
}

/// Identity of a thing in the image of a release: version 5 of RFC 9562 over release and name.
#[must_use]
pub fn identity(release: &str, name: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{release}/{name}").as_bytes())
}

/// Size of a partition on a disk of `disk` bytes; the state partition takes the rest up to the backup table.
#[must_use]
pub fn size_on(part: Part, disk: u64) -> u64 {
    part.size()
        .unwrap_or_else(|| disk.saturating_sub(part.start() + ALIGNMENT) / ALIGNMENT * ALIGNMENT)
}

/// Writes protective MBR, primary and backup table onto an empty disk of `bytes` bytes. `ids` gives the identity of
/// `disk` and of each partition by its label.
///
/// # Errors
/// See [`TableError`].
pub fn write<D>(disk: &mut D, bytes: u64, ids: &dyn Fn(&str) -> Uuid) -> Result<(), TableError>
where
    D: Read + Write + Seek + std::fmt::Debug,
{
    if size_on(Part::State, bytes) == 0 {
        return Err(TableError::TooSmall { bytes });
    }
    let parts = Part::ALL.map(|part| (part, part.start(), size_on(part, bytes)));
    write_parts(disk, bytes, &parts, ids)
}

/// The same with these partitions: which one, first byte, length.
///
/// # Errors
/// See [`TableError`].
pub fn write_parts<D>(
    disk: &mut D,
    bytes: u64,
    parts: &[(Part, u64, u64)],
    ids: &dyn Fn(&str) -> Uuid,
) -> Result<(), TableError>
where
    D: Read + Write + Seek + std::fmt::Debug,
{
    let sectors = u32::try_from(bytes / SECTOR - 1).unwrap_or(u32::MAX);
    ProtectiveMBR::with_lb_size(sectors).overwrite_lba0(disk)?;
    let mut table = GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512)
        .create_from_device(disk, None)?;
    table.update_guid(Some(ids("disk")));
    let partitions = parts
        .iter()
        .map(|(part, start, len)| (part.number(), partition(*part, *start, *len, ids)));
    table.update_partitions(partitions.collect::<BTreeMap<_, _>>())?;
    table.write_inplace()?;
    Ok(())
}

fn partition(part: Part, start: u64, len: u64, ids: &dyn Fn(&str) -> Uuid) -> Partition {
    Partition {
        part_type_guid: Type {
            guid: part.type_guid(),
            os: OperatingSystem::None,
        },
        part_guid: ids(part.label()),
        first_lba: start / SECTOR,
        last_lba: (start + len) / SECTOR - 1,
        flags: 0,
        name: part.label().to_owned(),
    }
}

/// A partition found on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Number in the table.
    pub number: u32,
    /// Name in the table.
    pub name: String,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// Identity.
    pub id: Uuid,
}

/// Reads the table of a disk.
///
/// # Errors
/// There is none, or it is damaged.
pub fn read(disk: &File) -> Result<Vec<Found>, TableError> {
    let table = GptConfig::new()
        .logical_block_size(LogicalBlockSize::Lb512)
        .open_from_device(disk)?;
    let found = |(number, partition): (&u32, &Partition)| Found {
        number: *number,
        name: partition.name.clone(),
        start: partition.first_lba * SECTOR,
        len: (partition.last_lba + 1).saturating_sub(partition.first_lba) * SECTOR,
        id: partition.part_guid,
    };
    Ok(table
        .partitions()
        .iter()
        .filter(|(_, partition)| partition.is_used())
        .map(found)
        .collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    const BYTES: u64 = 4 << 30;

    fn table() -> File {
        let disk = tempfile::tempfile().unwrap();
        disk.set_len(BYTES).unwrap();
        write(&mut &disk, BYTES, &|name| identity("keelson-1", name)).unwrap();
        disk
    }

    #[test]
    fn what_is_written_reads_back() {
        let found = read(&table()).unwrap();
        for (part, found) in Part::ALL.into_iter().zip(&found) {
            assert_eq!((found.number, found.name.as_str()), (part.number(), part.label()));
            assert_eq!((found.start, found.len), (part.start(), size_on(part, BYTES)));
        }
        let state = found.last().unwrap();
        assert!(state.start + state.len <= BYTES - 34 * 512, "room for the backup table");
    }

    #[test]
    fn the_same_release_gives_the_same_bytes() {
        let bytes = || {
            let mut bytes = vec![0; 1 << 20];
            table().read_exact_at(&mut bytes, 0).unwrap();
            bytes
        };
        assert_eq!(bytes(), bytes());
    }

    #[test]
    fn the_backup_table_is_at_the_end() {
        let mut sector = [0; 512];
        table().read_exact_at(&mut sector, BYTES - 512).unwrap();
        assert_eq!(&sector[..8], b"EFI PART");
    }

    #[test]
    fn a_disk_without_room_for_state_is_refused() {
        let disk = tempfile::tempfile().unwrap();
        assert!(matches!(
            write(&mut &disk, Part::State.start(), &|name| identity("x", name)),
            Err(TableError::TooSmall { .. })
        ));
    }
}
