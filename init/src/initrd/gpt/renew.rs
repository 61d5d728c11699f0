//! The table's one change after the image was built: new identities, and a last partition that reaches to the end of
//! the disk.
//!
//! The backup is written and flushed before the primary is touched. A cut before that leaves the old table; a cut
//! within the primary leaves a primary whose checksum is wrong, and firmware and we restore it from the backup at the
//! disk's end. So a table that comes from the backup is restored first and is not renewed.

use keelson_image_layout::Part;
use uuid::Uuid;

use super::SECTOR;
use super::crc::crc32;
use super::table::{HEADER_BYTES, ID_AT, LAST_AT, Table, header_crc};

/// Sector of the primary header, and of the array behind it.
pub(super) const PRIMARY: u64 = 1;
const PRIMARY_ENTRIES: u64 = 2;

/// One write at a byte offset of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Byte offset.
    pub at: u64,
    /// What to write there.
    pub bytes: Vec<u8>,
}

/// A new table, as writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// Written first, then flushed.
    pub backup: Vec<Write>,
    /// Written last, then flushed.
    pub primary: Vec<Write>,
    /// The state partition's first byte and length in bytes.
    pub state: (u64, u64),
}

/// Makes the new table for a disk of `disk_sectors` sectors. `ids` gives an identity for the disk and one for each
/// partition. `None` if the disk is too small for its own table, or if `table` is the backup: it is the only good copy.
#[must_use]
pub fn renew(table: &Table, disk_sectors: u64, mut ids: impl FnMut() -> Uuid) -> Option<Renewed> {
    let array_sectors = table.header.array_bytes().div_ceil(SECTOR);
    let backup_at = disk_sectors.checked_sub(1)?;
    let backup_entries = backup_at.checked_sub(array_sectors)?;
    let last_usable = backup_entries.checked_sub(1)?;
    let state = table.partition(Part::State.number())?;
    if table.is_backup() || last_usable < state.last || table.header.entries_at == 0 {
        return None;
    }
    let disk_id = ids();
    let mut entries = table.entries.clone();
    let size = table.header.entry_bytes as usize;
    for (index, entry) in entries.chunks_exact_mut(size).enumerate() {
        let number = u32::try_from(index).ok()?.checked_add(1)?;
        if table.partition(number).is_some() {
            put(entry, ID_AT, &ids().to_bytes_le())?;
        }
        if number == Part::State.number() {
            put(entry, LAST_AT, &last_usable.to_le_bytes())?;
        }
    }
    let place = |here, other, entries_at| {
        let header = Place {
            here,
            other,
            entries_at,
            last_usable,
            disk_id,
        };
        header.writes(table, &entries)
    };
    Some(Renewed {
        backup: place(backup_at, PRIMARY, backup_entries)?,
        primary: place(PRIMARY, backup_at, PRIMARY_ENTRIES)?,
        state: (state.first * SECTOR, (last_usable - state.first + 1) * SECTOR),
    })
}

pub(super) struct Place {
    here: u64,
    other: u64,
    pub(super) entries_at: u64,
    last_usable: u64,
    disk_id: Uuid,
}

impl Place {
    /// Where a primary goes whose backup lies at `other`.
    pub(super) fn primary(other: u64, last_usable: u64, disk_id: Uuid) -> Place {
        Place {
            here: PRIMARY,
            other,
            entries_at: PRIMARY_ENTRIES,
            last_usable,
            disk_id,
        }
    }

    /// Where the backup goes of a primary that names `here` for it; its entries lie right before.
    pub(super) fn backup(here: u64, array_sectors: u64, last_usable: u64, disk_id: Uuid) -> Option<Place> {
        Some(Place {
            here,
            other: PRIMARY,
            entries_at: here.checked_sub(array_sectors)?,
            last_usable,
            disk_id,
        })
    }

    /// First sector behind the array of entries.
    pub(super) fn end_of(&self, table: &Table) -> Option<u64> {
        self.entries_at.checked_add(table.header.array_bytes().div_ceil(SECTOR))
    }

    /// Entries first, then the header that names them.
    pub(super) fn writes(&self, table: &Table, entries: &[u8]) -> Option<Vec<Write>> {
        let mut header = table.header.raw;
        put(&mut header, 12, &(HEADER_BYTES as u32).to_le_bytes())?;
        put(&mut header, 24, &self.here.to_le_bytes())?;
        put(&mut header, 32, &self.other.to_le_bytes())?;
        put(&mut header, 48, &self.last_usable.to_le_bytes())?;
        put(&mut header, 56, &self.disk_id.to_bytes_le())?;
        put(&mut header, 72, &self.entries_at.to_le_bytes())?;
        put(&mut header, 88, &crc32(entries).to_le_bytes())?;
        let crc = header_crc(&header);
        put(&mut header, 16, &crc.to_le_bytes())?;
        let mut sector = vec![0; SECTOR as usize];
        put(&mut sector, 0, &header)?;
        Some(vec![
            Write {
                at: self.entries_at * SECTOR,
                bytes: entries.to_vec(),
            },
            Write {
                at: self.here * SECTOR,
                bytes: sector,
            },
        ])
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> Option<()> {
    bytes.get_mut(at..at + value.len())?.copy_from_slice(value);
    Some(())
}

#[cfg(test)]
#[path = "renew_test.rs"]
pub(crate) mod tests;
