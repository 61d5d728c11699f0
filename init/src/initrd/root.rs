//! Opening the root: dm-verity over the slot's partitions, erofs on top.
//!
//! The device is first mapped so that a block that does not match gives an I/O error, and what the boot cannot do
//! without is read through it. So damage there is seen here and can be recorded. Then the table is replaced by one
//! that makes any mismatch a panic: from there on nothing runs on unverified bytes, and the trace stays in pstore.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use keelson_image_layout::verity::VerityParams;
use keelson_image_layout::{RootHash, Slot, paths};
use keelson_sys::dm::{Control, DmError, Target};
use rustix::mount::{MountFlags, mount};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Name of the mapped device.
const NAME: &str = "keelson-root";
/// Where the root is mounted until the switch.
pub const SYSROOT: &str = "/sysroot";
const SECTORS_PER_BLOCK: u64 = 8;
/// Options of the final table.
const FATAL: &str = " 1 panic_on_corruption";

/// Why a root cannot be used.
#[derive(Debug, Error)]
pub enum RootError {
    /// A block does not match its hash, or cannot be read.
    #[error("the root does not match its hash, or cannot be read, at {what}")]
    Damaged {
        /// What was read.
        what: String,
        /// Answer of the kernel.
        #[source]
        source: io::Error,
    },
    /// The mapping could not be made.
    #[error("the root cannot be mapped")]
    Map {
        /// Answer of device-mapper.
        #[source]
        source: DmError,
    },
    /// A device node could not be looked at.
    #[error("cannot open {path}")]
    Node {
        /// The node.
        path: PathBuf,
        /// Answer of the kernel.
        #[source]
        source: io::Error,
    },
}

/// A root that is mapped, mounted and read in part.
#[derive(Debug)]
pub struct Root {
    control: Control,
    table: String,
    sectors: u64,
}

impl Root {
    /// Maps and mounts the root of a slot at [`SYSROOT`].
    ///
    /// # Errors
    /// [`RootError`]; nothing stays mounted that could be used by mistake, but the device stays mapped.
    pub fn open(params: &VerityParams, data: &Path, hashes: &Path) -> Result<Root, RootError> {
        let map = |source| RootError::Map { source };
        let control = Control::open().map_err(map)?;
        let root = Root {
            table: params.table(&number(data)?, &number(hashes)?),
            sectors: params.data_blocks.saturating_mul(SECTORS_PER_BLOCK),
            control,
        };
        let device = root.control.create(NAME).map_err(map)?;
        root.load("").map_err(map)?;
        mount_root(&PathBuf::from(format!("/dev/dm-{}", rustix::fs::minor(device))))?;
        Ok(root)
    }

    /// Reads what a boot cannot do without.
    ///
    /// # Errors
    /// [`RootError::Damaged`] names the file.
    pub fn prove(&self) -> Result<(), RootError> {
        read_through(Path::new(SYSROOT), paths::INIT)?;
        read_through(Path::new(SYSROOT), paths::UNITS)
    }

    /// From now on any mismatch is a panic.
    ///
    /// # Errors
    /// [`RootError::Map`].
    pub fn make_damage_fatal(&self) -> Result<(), RootError> {
        self.load(FATAL).map_err(|source| RootError::Map { source })
    }

    fn load(&self, options: &str) -> Result<(), DmError> {
        let params = format!("{}{options}", self.table);
        let target = Target {
            sectors: self.sectors,
            kind: "verity",
            params: &params,
        };
        self.control.load(NAME, target)?;
        self.control.activate(NAME)
    }
}

fn mount_root(device: &Path) -> Result<(), RootError> {
    let damaged = |source| RootError::Damaged {
        what: "its superblock".to_owned(),
        source,
    };
    fs::create_dir_all(SYSROOT).map_err(damaged)?;
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
    mount(device, SYSROOT, "erofs", flags, None).map_err(|errno| damaged(errno.into()))
}

/// Reads a file, or every file in a directory, to its end.
fn read_through(root: &Path, path: &str) -> Result<(), RootError> {
    let within = root.join(path.trim_start_matches('/'));
    let damaged = |source| RootError::Damaged {
        what: path.to_owned(),
        source,
    };
    let files = if within.is_dir() {
        let entries: io::Result<Vec<_>> = fs::read_dir(&within).and_then(Iterator::collect);
        entries
            .map_err(damaged)?
            .into_iter()
            .map(|entry| entry.path())
            .collect()
    } else {
        vec![within]
    };
    files.iter().try_for_each(|file| read_to_end(file)).map_err(damaged)
}

fn read_to_end(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 128 << 10];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

/// `major:minor` of a node, which no later change of names can mislead.
fn number(node: &Path) -> Result<String, RootError> {
    let status = rustix::fs::stat(node).map_err(|errno| RootError::Node {
        path: node.to_owned(),
        source: errno.into(),
    })?;
    Ok(format!(
        "{}:{}",
        rustix::fs::major(status.st_rdev),
        rustix::fs::minor(status.st_rdev)
    ))
}

/// The slot whose hash tree has this root hash at its top, for a machine whose loader says nothing. `tree` gives the
/// byte of `disk` at which the slot's tree begins.
#[must_use]
pub fn slot_of_tree(params: &VerityParams, disk: &Path, tree: impl Fn(Slot) -> Option<u64>) -> Option<Slot> {
    let disk = File::open(disk).ok()?;
    let top = |slot| top_of_tree(&disk, tree(slot)?, &params.salt);
    Slot::ALL.into_iter().find(|slot| top(*slot) == Some(params.root_hash))
}

/// The root hash a tree stands for: the hash of salt and its first block.
fn top_of_tree(disk: &File, at: u64, salt: &RootHash) -> Option<RootHash> {
    let mut block = [0; keelson_image_layout::verity::BLOCK];
    disk.read_exact_at(&mut block, at).ok()?;
    let digest = Sha256::new().chain_update(salt.0).chain_update(block).finalize();
    Some(RootHash(digest.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_is_known_by_the_top_of_its_tree() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let tree = |slot: Slot| Some(if slot == Slot::A { 4096 } else { 65536 });
        for (slot, byte) in [(Slot::A, 1), (Slot::B, 2)] {
            file.as_file().write_all_at(&[byte; 8192], tree(slot).unwrap()).unwrap();
        }
        let salt = RootHash([9; 32]);
        for slot in Slot::ALL {
            let params = VerityParams {
                root_hash: top_of_tree(file.as_file(), tree(slot).unwrap(), &salt).unwrap(),
                salt,
                data_blocks: 1,
            };
            assert_eq!(slot_of_tree(&params, file.path(), tree), Some(slot));
        }
        let other = VerityParams {
            root_hash: RootHash([0; 32]),
            salt,
            data_blocks: 1,
        };
        assert_eq!(slot_of_tree(&other, file.path(), tree), None);
        assert_eq!(slot_of_tree(&other, file.path(), |_| None), None);
        assert_eq!(slot_of_tree(&other, Path::new("/nonexistent"), tree), None);
    }

    #[test]
    fn reading_through_names_what_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("units")).unwrap();
        fs::write(directory.path().join("units/a"), "x").unwrap();
        read_through(directory.path(), "/units").unwrap();
        let error = read_through(directory.path(), "/usr/bin/init").unwrap_err().to_string();
        assert!(error.ends_with("at /usr/bin/init"), "{error}");
    }
}
