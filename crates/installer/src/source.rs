//! A release as it lies on a running machine or in an image: what an installation is made from.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use keelson_image_layout::verity::{BLOCK, VerityParams};
use keelson_image_layout::{BootFacts, Slot, paths};
use thiserror::Error;

use crate::esp::{self, EspError, Held};
use crate::region::{ReadOnly, Region};
use crate::verity::{HashTree, hash_tree};

/// Name of the mapped root on a running machine.
const MAPPED_ROOT: &str = "keelson-root";
/// What goes from one EFI system partition to another. Everything else belongs to one machine: its provisioning, the
/// boot loader's random seed and secret.
const COPIED: [&str; 3] = ["EFI/BOOT/", "loader/loader.conf", "loader/keys/"];

/// A release.
#[derive(Debug)]
pub struct Source {
    /// Its version.
    pub version: String,
    /// Holds the root.
    pub root: File,
    /// Where in that file it begins.
    pub root_start: u64,
    /// Hash tree of the root.
    pub tree: HashTree,
    /// Bytes of the boot entry.
    pub entry: Vec<u8>,
    /// The other files of the EFI system partition.
    pub esp: Vec<Held>,
    /// Seconds since 1970 of the release.
    pub time: u64,
    /// The packed state file system.
    pub state: Vec<u8>,
}

/// Why there is no release to install.
#[derive(Debug, Error)]
pub enum SourceError {
    /// A file or device cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The EFI system partition cannot be read.
    #[error("the EFI system partition cannot be read")]
    Esp(#[from] EspError),
    /// It has no boot entry for the running slot.
    #[error("the EFI system partition has no boot entry of slot {slot}")]
    Entry {
        /// The slot.
        slot: Slot,
    },
    /// The root is not what its release says.
    #[error("the root that would be copied does not match its root hash")]
    Root,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> SourceError + '_ {
    |source| SourceError::Read {
        path: path.to_owned(),
        source,
    }
}

impl Source {
    /// The running release, read through its own verified device.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub fn running(facts: &BootFacts, sys: &Path, dev: &Path) -> Result<Source, SourceError> {
        let mapped = mapped_root(sys).map_err(failed(sys))?;
        let root_at = dev.join(mapped);
        let root = File::open(&root_at).map_err(failed(&root_at))?;
        let tree = tree_of(&root, 0, &facts.release.verity).map_err(failed(&root_at))?;
        let esp_at = Path::new(&facts.disk.esp);
        let esp = File::open(esp_at).map_err(failed(esp_at))?;
        let len = io::Seek::seek(&mut &esp, io::SeekFrom::End(0)).map_err(failed(esp_at))?;
        let contents = esp::read(ReadOnly(Region::new(&esp, 0, len)))?;
        let template = Path::new(paths::STATE_TEMPLATE);
        let state = fs::read(template).map_err(failed(template))?;
        let (entry, others) = split(contents.files, facts.slot)?;
        let source = Source {
            version: facts.release.version.clone(),
            root,
            root_start: 0,
            tree,
            entry,
            esp: others,
            time: facts.release.time,
            state,
        };
        source.checked(&facts.release.verity)
    }

    /// The source, if its root is the one that was asked for.
    ///
    /// # Errors
    /// [`SourceError::Root`].
    pub fn checked(self, expected: &VerityParams) -> Result<Source, SourceError> {
        if self.tree.params == *expected {
            Ok(self)
        } else {
            Err(SourceError::Root)
        }
    }

    /// Bytes of the root.
    #[must_use]
    pub fn root_bytes(&self) -> u64 {
        self.tree.params.data_bytes()
    }
}

/// The hash tree over a root at `start` of a file.
///
/// # Errors
/// It cannot be read.
pub fn tree_of(file: &File, start: u64, params: &VerityParams) -> io::Result<HashTree> {
    let region = Region::new(file, start, params.data_blocks * BLOCK as u64);
    hash_tree(&mut io::BufReader::with_capacity(1 << 20, region), params.salt.0)
}

/// The boot entry of a slot, and the files beside the entries that go onto every machine.
///
/// # Errors
/// [`SourceError::Entry`].
pub fn split(files: Vec<Held>, slot: Slot) -> Result<(Vec<u8>, Vec<Held>), SourceError> {
    let of_slot = format!("{}/{}", esp::ENTRIES, slot.entry_stem());
    let (entries, others): (Vec<Held>, Vec<Held>) =
        files.into_iter().partition(|file| file.path.starts_with(esp::ENTRIES));
    let entry = entries.into_iter().find(|file| {
        file.path
            .to_ascii_lowercase()
            .starts_with(&of_slot.to_ascii_lowercase())
    });
    let entry = entry.ok_or(SourceError::Entry { slot })?;
    let copied = |file: &Held| COPIED.iter().any(|begin| file.path.starts_with(begin));
    Ok((entry.bytes, others.into_iter().filter(copied).collect()))
}

/// Kernel name of the mapped root.
fn mapped_root(sys: &Path) -> io::Result<String> {
    for entry in fs::read_dir(sys.join("block"))? {
        let entry = entry?;
        let name = fs::read_to_string(entry.path().join("dm/name")).unwrap_or_default();
        if name.trim() == MAPPED_ROOT {
            return Ok(entry.file_name().to_string_lossy().into_owned());
        }
    }
    let what = format!("no mapped device {MAPPED_ROOT}: this system does not run from a verified root");
    Err(io::Error::new(io::ErrorKind::NotFound, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(path: &str) -> Held {
        Held {
            path: path.to_owned(),
            bytes: path.as_bytes().to_vec(),
        }
    }

    #[test]
    fn the_running_entry_is_taken_and_what_is_one_machines_left_behind() {
        let files = [
            "EFI/BOOT/BOOTX64.EFI",
            "EFI/Linux/kb.efi",
            "EFI/Linux/ka+2-1.efi",
            "loader/loader.conf",
            "keelson/config.toml",
            "loader/random-seed",
            "loader/boot-secret-mixin",
        ];
        let all = || files.iter().map(|path| held(path)).collect();
        let (entry, others) = split(all(), Slot::A).unwrap();
        assert_eq!(entry, b"EFI/Linux/ka+2-1.efi");
        let others: Vec<&str> = others.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(others, ["EFI/BOOT/BOOTX64.EFI", "loader/loader.conf"]);
        let only_b = vec![held("EFI/Linux/kb.efi")];
        assert!(matches!(
            split(only_b, Slot::A),
            Err(SourceError::Entry { slot: Slot::A })
        ));
    }

    #[test]
    fn the_mapped_root_is_found_by_its_name() {
        let sys = tempfile::tempdir().unwrap();
        for (device, name) in [("dm-0", "other\n"), ("dm-1", "keelson-root\n")] {
            let folder = sys.path().join("block").join(device).join("dm");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("name"), name).unwrap();
        }
        assert_eq!(mapped_root(sys.path()).unwrap(), "dm-1");
        fs::remove_dir_all(sys.path().join("block/dm-1")).unwrap();
        assert!(mapped_root(sys.path()).is_err());
    }
}
