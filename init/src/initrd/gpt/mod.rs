//! The partition table of a disk, read and rewritten by ourselves: the kernel of this release does not say partition
//! identities in its events, and first boot gives the table new ones.
//!
//! Pure: bytes in, bytes out. Source: UEFI Specification, "GUID Partition Table (GPT) Disk Layout".

pub mod crc;
pub mod mbr;
pub mod renew;
pub mod restore;
pub mod table;

pub use renew::{Renewed, renew};
pub use restore::{backup_of, primary_of};
pub use table::{Entry, Header, Table, TableError};

/// Bytes per logical sector; a disk with larger ones carries no table of ours.
pub const SECTOR: u64 = keelson_image_layout::partitions::SECTOR;
