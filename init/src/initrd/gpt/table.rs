//! Reading a table: one header sector and the array of entries it points to, both checksummed.

use keelson_image_layout::Part;
use thiserror::Error;
use uuid::Uuid;

use super::SECTOR;
use super::crc::crc32;

const SIGNATURE: &[u8; 8] = b"EFI PART";
/// Bytes of a header as every firmware writes it.
pub(super) const HEADER_BYTES: usize = 92;
/// Largest array that is read: 1024 entries of 128 bytes.
const MOST_BYTES: u64 = 128 << 10;
const TYPE_AT: usize = 0;
pub(super) const ID_AT: usize = 16;
const FIRST_AT: usize = 32;
pub(super) const LAST_AT: usize = 40;

/// Why bytes are no partition table.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TableError {
    /// The sector does not begin with the signature.
    #[error("no partition table signature")]
    Signature,
    /// A checksum does not match: a torn write or a damaged medium.
    #[error("the partition table's {part} has a wrong checksum")]
    Checksum {
        /// Header or entries.
        part: &'static str,
    },
    /// A number in the header is out of any sensible range.
    #[error("the partition table's header makes no sense: {field}")]
    Nonsense {
        /// Which one.
        field: &'static str,
    },
}

/// One header: primary or backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Sector this header lies in.
    pub here: u64,
    /// Sector of the other header.
    pub other: u64,
    /// Last sector partitions may use.
    pub last_usable: u64,
    /// First sector of the array of entries.
    pub entries_at: u64,
    /// Entries in the array.
    pub count: u32,
    /// Bytes per entry.
    pub entry_bytes: u32,
    pub(super) entries_crc: u32,
    pub(super) raw: [u8; HEADER_BYTES],
}

/// A header with its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The header.
    pub header: Header,
    pub(super) entries: Vec<u8>,
}

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What it is for.
    pub type_guid: Uuid,
    /// Its identity.
    pub id: Uuid,
    /// First sector.
    pub first: u64,
    /// Last sector, inclusive.
    pub last: u64,
}

impl Entry {
    /// Length in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.last.saturating_sub(self.first) + 1).saturating_mul(SECTOR)
    }
}

pub(super) fn number32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(super) fn number64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn guid(bytes: &[u8], at: usize) -> Option<Uuid> {
    Some(Uuid::from_bytes_le(bytes.get(at..at + 16)?.try_into().ok()?))
}

impl Header {
    /// Reads a header sector that was read from sector `here`.
    ///
    /// # Errors
    /// Says why it is none.
    pub fn parse(sector: &[u8], here: u64) -> Result<Header, TableError> {
        let raw: [u8; HEADER_BYTES] = sector
            .get(..HEADER_BYTES)
            .and_then(|raw| raw.try_into().ok())
            .ok_or(TableError::Signature)?;
        if !raw.starts_with(SIGNATURE) {
            return Err(TableError::Signature);
        }
        let nonsense = |field| TableError::Nonsense { field };
        let size = number32(&raw, 12).ok_or(nonsense("size"))? as usize;
        let signed = sector
            .get(..size)
            .filter(|_| size >= HEADER_BYTES)
            .ok_or(nonsense("size"))?;
        if header_crc(signed) != number32(&raw, 16).unwrap_or(0) {
            return Err(TableError::Checksum { part: "header" });
        }
        let at64 = |at| number64(&raw, at).ok_or(nonsense("size"));
        let at32 = |at| number32(&raw, at).ok_or(nonsense("size"));
        let header = Header {
            here: at64(24)?,
            other: at64(32)?,
            last_usable: at64(48)?,
            entries_at: at64(72)?,
            count: at32(80)?,
            entry_bytes: at32(84)?,
            entries_crc: at32(88)?,
            raw,
        };
        if header.here != here {
            return Err(nonsense("own position"));
        }
        if header.entry_bytes < 128 || !header.entry_bytes.is_multiple_of(8) || header.array_bytes() > MOST_BYTES {
            return Err(nonsense("entries"));
        }
        if header.entries_at.checked_mul(SECTOR).is_none() {
            return Err(nonsense("position of entries"));
        }
        Ok(header)
    }

    /// The disk's identity.
    pub(super) fn disk_id(&self) -> Option<Uuid> {
        guid(&self.raw, 56)
    }

    /// Bytes of the array of entries.
    #[must_use]
    pub fn array_bytes(&self) -> u64 {
        u64::from(self.count) * u64::from(self.entry_bytes)
    }
}

/// Checksum of a header with its own checksum field taken as zero.
pub(super) fn header_crc(header: &[u8]) -> u32 {
    let mut copy = header.to_vec();
    if let Some(field) = copy.get_mut(16..20) {
        field.fill(0);
    }
    crc32(&copy)
}

impl Table {
    /// Puts a header and the array it points to together.
    ///
    /// # Errors
    /// [`TableError::Checksum`] when they do not belong together.
    pub fn new(header: Header, entries: Vec<u8>) -> Result<Table, TableError> {
        if entries.len() as u64 != header.array_bytes() || crc32(&entries) != header.entries_crc {
            return Err(TableError::Checksum {
                part: "array of entries",
            });
        }
        Ok(Table { header, entries })
    }

    /// Partition `number`, from 1; `None` if the entry is unused.
    #[must_use]
    pub fn partition(&self, number: u32) -> Option<Entry> {
        let size = self.header.entry_bytes as usize;
        let at = (number.checked_sub(1)? as usize).checked_mul(size)?;
        let bytes = self.entries.get(at..at.checked_add(size)?)?;
        let entry = Entry {
            type_guid: guid(bytes, TYPE_AT)?,
            id: guid(bytes, ID_AT)?,
            first: number64(bytes, FIRST_AT)?,
            last: number64(bytes, LAST_AT)?,
        };
        (!entry.type_guid.is_nil()).then_some(entry)
    }

    /// Whether both name the same partitions.
    #[must_use]
    pub fn same_entries(&self, other: &Table) -> bool {
        self.entries == other.entries
    }

    /// Whether this is the copy at the end of the disk.
    #[must_use]
    pub fn is_backup(&self) -> bool {
        self.header.here != 1
    }

    /// Whether this is a system disk of ours: all seven partitions, each of its type.
    #[must_use]
    pub fn is_keelson(&self) -> bool {
        self.has(&Part::ALL)
    }

    /// Whether this is an installation medium of ours: a release once, and no state.
    #[must_use]
    pub fn is_medium(&self) -> bool {
        let others = Part::ALL.iter().filter(|part| !Part::ON_MEDIUM.contains(part));
        self.has(&Part::ON_MEDIUM) && others.clone().all(|part| self.partition(part.number()).is_none())
    }

    fn has(&self, parts: &[Part]) -> bool {
        parts.iter().all(|part| {
            self.partition(part.number())
                .is_some_and(|entry| entry.type_guid == part.type_guid())
        })
    }
}
