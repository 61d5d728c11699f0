//! The installation medium: one image that is a disk and a disc at once. A partition table leads from a USB stick to
//! the EFI system partition, an ISO 9660 directory with a boot catalog leads there from an optical drive.
//!
//! It holds a release once, in slot A, with an empty slot state and no state (`docs/formats/disk.md`).

mod iso;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use keelson_image_layout::partitions::ALIGNMENT;
use keelson_image_layout::{EntryName, Part, Slot};
use thiserror::Error;

use crate::disk::assemble::Release;
use crate::disk::esp::{self, Contents, EspError, Held};
use crate::disk::region::{Region, copy_sparse};
use crate::disk::table::{self, TableError, identity};

/// Clusters of the smallest size, since a FAT32 volume has at least 65525 of them.
const CLUSTER: u32 = 512;
/// Smallest FAT32 volume with such clusters, tables included.
const ESP_SMALLEST: u64 = 34 << 20;

/// Why no medium could be made.
#[derive(Debug, Error)]
pub enum MediumError {
    /// A file cannot be written or read.
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
    /// EFI system partition.
    #[error(transparent)]
    Esp(#[from] EspError),
}

/// Where everything lies: which partition, first byte, length; and the bytes in all.
fn plan(esp: u64, root: u64, tree: u64) -> ([(Part, u64, u64); 4], u64) {
    let mut at = ALIGNMENT;
    let sizes = [
        (Part::Esp, esp),
        (Part::SlotState, ALIGNMENT),
        (Part::RootA, root),
        (Part::VerityA, tree),
    ];
    let parts = sizes.map(|(part, bytes)| {
        let (start, len) = (at, bytes.next_multiple_of(ALIGNMENT).max(ALIGNMENT));
        at += len;
        (part, start, len)
    });
    (parts, at + ALIGNMENT)
}

/// Writes the medium of a release to `path`.
///
/// # Errors
/// See [`MediumError`].
pub fn write(path: &Path, release: &Release<'_>) -> Result<(), MediumError> {
    let failed = |source| MediumError::File {
        path: path.to_owned(),
        source,
    };
    let mut root = File::open(release.root).map_err(failed)?;
    let root_bytes = root.metadata().map_err(failed)?.len();
    let files = release.entry.len() + release.loader.len();
    let esp_bytes = ESP_SMALLEST.max((files as u64 + (2 << 20)).next_multiple_of(ALIGNMENT));
    let (parts, bytes) = plan(esp_bytes, root_bytes, release.tree.bytes.len() as u64);
    let [(_, esp_at, esp_len), _, (_, root_at, _), (_, tree_at, _)] = parts;

    let medium = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(failed)?;
    medium.set_len(bytes).map_err(failed)?;
    let id = format!("{}/medium", release.id);
    table::write_parts(&mut &medium, bytes, &parts, &|name| identity(&id, name))?;
    let volume = contents(release, &id);
    esp::write_clusters(&mut Region::new(&medium, esp_at, esp_len), esp_len, CLUSTER, &volume)?;
    copy_sparse(&mut root, &medium, root_at).map_err(failed)?;
    copy_sparse(&mut release.tree.bytes.as_slice(), &medium, tree_at).map_err(failed)?;
    for (at, block) in iso::blocks(bytes, esp_at, release.time) {
        medium.write_all_at(&block, at).map_err(failed)?;
    }
    medium.sync_all().map_err(failed)
}

/// One boot entry, already good: nobody counts tries on a medium.
fn contents(release: &Release<'_>, id: &str) -> Contents {
    let file = |path: &str, bytes: &[u8]| Held {
        path: path.to_owned(),
        bytes: bytes.to_vec(),
    };
    let [a, b, c, d, ..] = *identity(id, "esp file system").as_bytes();
    Contents {
        files: vec![
            file(esp::LOADER, release.loader),
            file("loader/loader.conf", esp::LOADER_CONF),
            file(&format!("{}/{}", esp::ENTRIES, EntryName::good(Slot::A)), release.entry),
        ],
        id: u32::from_be_bytes([a, b, c, d]),
        time: release.time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verity::hash_tree;

    #[test]
    fn a_medium_is_a_disk_and_a_disc_and_the_same_twice() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        std::fs::write(&root, vec![7; 3 << 20]).unwrap();
        let tree = hash_tree(&mut File::open(&root).unwrap(), [3; 32]).unwrap();
        let release = Release {
            id: "keelson-1",
            version: "1",
            time: 1_700_000_000,
            root: &root,
            tree: &tree,
            entry: b"entry",
            loader: b"loader",
            state: &[],
        };
        let made = |name: &str| {
            let path = place.path().join(name);
            write(&path, &release).unwrap();
            path
        };
        let (first, second) = (made("first"), made("second"));
        assert!(std::fs::read(&first).unwrap() == std::fs::read(second).unwrap());
        let medium = File::open(&first).unwrap();
        let found = table::read(&medium).unwrap();
        let names: Vec<&str> = found.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["esp", "slot-state", "root-a", "verity-a"]);
        assert_eq!(found.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
        let [esp_part, ..] = found.as_slice() else { panic!() };
        let volume = esp::read(Region::new(&medium, esp_part.start, esp_part.len)).unwrap();
        assert!(volume.files.iter().any(|file| file.path == "EFI/Linux/ka.efi"));
        let mut descriptor = [0; 6];
        medium.read_exact_at(&mut descriptor, 0x8000).unwrap();
        assert_eq!(&descriptor, b"\x01CD001");
    }
}
