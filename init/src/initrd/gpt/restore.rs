//! The primary table made again from the backup. The kernel ignores the backup unless its command line says otherwise,
//! so with a damaged primary a disk has no partitions at all; and while the backup is the only good copy, it must not
//! be written.

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
