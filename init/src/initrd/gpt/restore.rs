//! The primary table made again from the backup. The kernel ignores the backup unless its command line says otherwise,
//! so with a damaged primary a disk has no partitions at all; and while the backup is the only good copy, it must not
//! be written. A damaged backup is made again from a sound primary.

use super::SECTOR;
use super::renew::{PRIMARY, Place, Write};
use super::table::{Table, number64};

/// Writes that make the primary the equal of `backup`, entries first; `None` if `backup` is none, or if it leaves no
/// room for the primary.
#[must_use]
pub fn primary_of(backup: &Table) -> Option<Vec<Write>> {
    let header = &backup.header;
    let place = Place::primary(header.here, header.last_usable, header.disk_id()?);
    let room = number64(&header.raw, 40)? >= place.end_of(backup)?;
    if !backup.is_backup() || header.other != PRIMARY || !room {
        return None;
    }
    place.writes(backup, &backup.entries)
}

/// Writes that make the backup the equal of `primary` where that one names it, entries first; `None` if `primary` is
/// none, or if it leaves no room for the backup.
#[must_use]
pub fn backup_of(primary: &Table) -> Option<Vec<Write>> {
    let header = &primary.header;
    let array_sectors = header.array_bytes().div_ceil(SECTOR);
    let place = Place::backup(header.other, array_sectors, header.last_usable, header.disk_id()?)?;
    if primary.is_backup() || place.entries_at <= header.last_usable {
        return None;
    }
    place.writes(primary, &primary.entries)
}
