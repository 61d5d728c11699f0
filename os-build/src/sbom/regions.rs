//! The parts of a disk as pieces of their own: what file systems and tables hold besides the files in them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use keelson_image_layout::Part;
use rustix::fs::{SeekFrom, seek};

use super::content::Item;
use super::owner::Owner;

/// Bytes of the second partition table, at the end of a disk: 32 sectors of entries and one header.
const TABLE_COPY: u64 = 33 * 512;

/// Every part but the state partition, up to its last byte that is not zero, and both partition tables. What the state
/// partition of a new disk holds comes out of a file of the root, its template.
///
/// # Errors
/// The disk cannot be read.
pub(super) fn items(disk: &File) -> io::Result<Vec<Item>> {
    let len = disk.metadata()?.len();
    let tables = [
        ("partition-table", 0, Part::Esp.start()),
        ("partition-table-copy", len.saturating_sub(TABLE_COPY), TABLE_COPY),
    ];
    let parts = Part::ALL
        .into_iter()
        .filter_map(|part| Some((part.label(), part.start(), part.size()?)));
    let all = tables.into_iter().chain(parts);
    let items = all.map(|(name, start, len)| {
        Ok(Item {
            name: format!("disk/{name}"),
            owner: Some(Owner::Release),
            bytes: used(disk, start, len)?,
        })
    });
    items.collect()
}

/// Bytes `start..start + len` up to the last that is not zero.
pub(super) fn used(disk: &File, start: u64, len: u64) -> io::Result<Vec<u8>> {
    let end = start + len;
    let mut bytes = Vec::new();
    let mut at = start;
    // A seek fails behind the last data.
    while let Ok(data) = seek(disk, SeekFrom::Data(at)) {
        if data >= end {
            break;
        }
        at = seek(disk, SeekFrom::Hole(data))?.min(end);
        let from = usize::try_from(data - start).map_err(io::Error::other)?;
        let to = usize::try_from(at - start).map_err(io::Error::other)?;
        bytes.resize(to, 0);
        disk.read_exact_at(bytes.get_mut(from..to).unwrap_or_default(), data)?;
        if at == end {
            break;
        }
    }
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(used);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_with_its_last_byte() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        assert!(used(&file, 0, 1 << 20).unwrap().is_empty());
        file.write_all_at(b"ab", 5000).unwrap();
        file.write_all_at(b"c", 700_000).unwrap();
        let bytes = used(&file, 4096, 500_000).unwrap();
        assert_eq!((bytes.len(), &bytes[904..]), (906, &b"ab"[..]));
        assert_eq!(used(&file, 4096, 905).unwrap().len(), 905);
        assert_eq!(used(&file, 600_000, 200_000).unwrap().len(), 100_001);
    }
}
