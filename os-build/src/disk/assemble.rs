//! Puts a release into both slots of a fresh disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use keelson_image_layout::boot_entry::FRESH_TRIES;
use keelson_image_layout::slot_state::COPY_OFFSETS;
use keelson_image_layout::{EntryName, Part, Slot};
use keelson_installer::install::fresh_record;
use keelson_installer::template::{self, TemplateError};
use thiserror::Error;

use super::esp::{self, EspError};
use super::region::{Region, copy_sparse};
use super::table::{self, TableError, identity, size_on};
use crate::verity::HashTree;

/// A release ready to be put onto a disk.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    /// What identities are derived from, for instance `keelson-0.1.0`.
    pub id: &'a str,
    /// Version.
    pub version: &'a str,
    /// Seconds since 1970.
    pub time: u64,
    /// File with the root's erofs.
    pub root: &'a Path,
    /// Its hash tree.
    pub tree: &'a HashTree,
    /// The boot entry.
    pub entry: &'a [u8],
    /// systemd-boot.
    pub loader: &'a [u8],
    /// The pristine state file system, packed.
    pub state: &'a [u8],
}

/// Why the disk could not be made.
#[derive(Debug, Error)]
pub enum DiskError {
    /// The file cannot be written or read.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Partition table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// ESP.
    #[error(transparent)]
    Esp(#[from] EspError),
    /// State partition.
    #[error(transparent)]
    State(#[from] TemplateError),
    /// Something is larger than its partition.
    #[error("{bytes} bytes do not fit partition {partition}")]
    TooLarge {
        /// Name of the partition.
        partition: &'static str,
        /// Bytes there would be.
        bytes: u64,
    },
}

/// Makes a disk of `bytes` bytes at `path`, which must not exist or is replaced. The file is sparse.
///
/// # Errors
/// See [`DiskError`]; what lies at `path` then is no disk.
pub fn write(path: &Path, bytes: u64, release: &Release<'_>) -> Result<(), DiskError> {
    let failed = |source| DiskError::File {
        path: path.to_owned(),
        source,
    };
    let disk = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(failed)?;
    disk.set_len(bytes).map_err(failed)?;
    write_state(&disk, bytes, release)?;
    table::write(&mut &disk, bytes, &|name| identity(release.id, name))?;
    write_esp(&disk, bytes, release)?;
    write_slot_state(&disk, release).map_err(failed)?;
    for slot in Slot::ALL {
        write_root(&disk, slot, release)?;
    }
    disk.sync_all().map_err(failed)
}

fn write_state(disk: &File, bytes: u64, release: &Release<'_>) -> Result<(), DiskError> {
    let (pieces, _) = template::unpack(release.state, size_on(Part::State, bytes))?;
    let written = pieces
        .iter()
        .try_for_each(|piece| disk.write_all_at(&piece.bytes, Part::State.start() + piece.offset));
    written.map_err(|source| DiskError::File {
        path: Part::State.label().into(),
        source,
    })
}

fn write_esp(disk: &File, bytes: u64, release: &Release<'_>) -> Result<(), DiskError> {
    let entry = |slot| (EntryName::trial(slot, FRESH_TRIES).to_string(), release.entry);
    let [a, b, c, d, ..] = *identity(release.id, "esp file system").as_bytes();
    let content = esp::Content {
        loader: release.loader,
        entries: Slot::ALL.map(entry).to_vec(),
        volume_id: u32::from_be_bytes([a, b, c, d]),
        time: release.time,
    };
    let len = size_on(Part::Esp, bytes);
    Ok(esp::write(
        &mut Region::new(disk, Part::Esp.start(), len),
        len,
        &content,
    )?)
}

/// The same record in both copies.
fn write_slot_state(disk: &File, release: &Release<'_>) -> io::Result<()> {
    let record = fresh_record(release.version, &release.tree.params.root_hash, release.entry);
    COPY_OFFSETS
        .iter()
        .try_for_each(|offset| disk.write_all_at(&record, Part::SlotState.start() + offset))
}

fn write_root(disk: &File, slot: Slot, release: &Release<'_>) -> Result<(), DiskError> {
    let failed = |source| DiskError::File {
        path: release.root.to_owned(),
        source,
    };
    let mut root = File::open(release.root).map_err(failed)?;
    let bytes = root.metadata().map_err(failed)?.len();
    let tree = release.tree.bytes.as_slice();
    for (part, bytes) in [(slot.root(), bytes), (slot.verity(), tree.len() as u64)] {
        if part.size().is_some_and(|room| bytes > room) {
            return Err(DiskError::TooLarge {
                partition: part.label(),
                bytes,
            });
        }
    }
    copy_sparse(&mut root, disk, slot.root().start()).map_err(failed)?;
    copy_sparse(&mut { tree }, disk, slot.verity().start()).map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::state;
    use crate::inspect::inspect;
    use crate::verity::hash_tree;

    const BYTES: u64 = 3 << 30;

    /// A disk with a root of a few blocks and an entry that is no PE file.
    fn made(folder: &Path, name: &str) -> PathBuf {
        let root = folder.join("root");
        let mut out = File::create(&root).unwrap();
        let tree = keelson_erofs::Tree::default();
        keelson_erofs::write_image(&tree, &mut out, &keelson_erofs::Options::default()).unwrap();
        let tree = hash_tree(&mut File::open(&root).unwrap(), [3; 32]).unwrap();
        let release = Release {
            id: "keelson-1.2.3",
            version: "1.2.3",
            time: 1_700_000_000,
            root: &root,
            tree: &tree,
            entry: b"entry",
            loader: b"loader",
            state: &state::template(BYTES, "keelson-1.2.3", 1_700_000_000).unwrap(),
        };
        let path = folder.join(name);
        write(&path, BYTES, &release).unwrap();
        path
    }

    /// The parts of a sparse file that are not holes: where and what.
    fn content(path: &Path) -> Vec<(u64, Vec<u8>)> {
        use rustix::fs::{SeekFrom, seek};
        let file = File::open(path).unwrap();
        let mut parts = Vec::new();
        let mut at = 0;
        while let Ok(start) = seek(&file, SeekFrom::Data(at)) {
            at = seek(&file, SeekFrom::Hole(start)).unwrap();
            let mut bytes = vec![0; (at - start) as usize];
            file.read_exact_at(&mut bytes, start).unwrap();
            parts.push((start, bytes));
        }
        parts
    }

    #[test]
    fn assembling_twice_gives_the_same_bytes() {
        let place = tempfile::tempdir().unwrap();
        let (first, second) = (made(place.path(), "first"), made(place.path(), "second"));
        assert!(content(&first) == content(&second));
    }

    #[test]
    fn inspection_prints_what_was_put_there() {
        let place = tempfile::tempdir().unwrap();
        let report = inspect(&made(place.path(), "disk")).unwrap().to_string();
        assert_eq!(report, include_str!("../testdata/inspection.txt"));
    }

    #[test]
    fn the_file_is_sparse() {
        use std::os::unix::fs::MetadataExt;
        let place = tempfile::tempdir().unwrap();
        let disk = std::fs::metadata(made(place.path(), "disk")).unwrap();
        assert_eq!(disk.len(), BYTES);
        assert!(
            disk.blocks() * 512 < 64 << 20,
            "{} bytes allocated",
            disk.blocks() * 512
        );
    }
}
