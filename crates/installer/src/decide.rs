//! Which disk, and whether it may be erased. Pure.

use keelson_image_layout::partitions::SECTOR;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::meter::size;
use crate::survey::Disk;

/// Smallest disk a release is put onto: what an image is.
pub const SMALLEST: u64 = keelson_image_layout::partitions::IMAGE_BYTES;

/// How a disk is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// By serial number, kernel name or device node.
    Named(String),
    /// The smallest one that is large enough and not in use.
    Smallest,
}

/// Why a disk is not erased.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No such disk.
    #[error("there is no disk {name:?}; there are: {}", known.join(", "))]
    Unknown {
        /// As asked for.
        name: String,
        /// Names of those there are.
        known: Vec<String>,
    },
    /// Several disks answer to the name.
    #[error("{name:?} names several disks: {}; use the kernel's name", known.join(", "))]
    Ambiguous {
        /// As asked for.
        name: String,
        /// Their names.
        known: Vec<String>,
    },
    /// No disk qualifies.
    #[error("no disk is large enough ({}), writable and not in use", size(SMALLEST))]
    NoneFits,
    /// The running system is on it.
    #[error("{name} is the disk the running system came from")]
    System {
        /// The disk.
        name: String,
    },
    /// It is in use.
    #[error("{name} is in use: {}; stop that first", used.join(", "))]
    Used {
        /// The disk.
        name: String,
        /// By what.
        used: Vec<String>,
    },
    /// It is too small.
    #[error("{name} has {}, at least {} are needed", size(*bytes), size(SMALLEST))]
    Small {
        /// The disk.
        name: String,
        /// Its size.
        bytes: u64,
    },
    /// It cannot be written.
    #[error("{name} is read-only")]
    ReadOnly {
        /// The disk.
        name: String,
    },
    /// Its sectors are of another size.
    #[error("{name} has sectors of {sector} bytes, the system's partition table is made for {SECTOR}")]
    Sectors {
        /// The disk.
        name: String,
        /// Bytes of a sector.
        sector: u64,
    },
    /// The word was not given.
    #[error("to erase {name}, give its word: --erase {word}")]
    Word {
        /// The disk.
        name: String,
        /// The word.
        word: String,
    },
}

/// The disk that is wished for.
///
/// # Errors
/// There is none, or several.
pub fn choose<'a>(disks: &'a [Disk], wish: &Wish) -> Result<&'a Disk, Refusal> {
    let name = match wish {
        Wish::Smallest => {
            let fitting = disks.iter().filter(|disk| check(disk).is_ok() && !disk.removable);
            return fitting.min_by_key(|disk| disk.bytes).ok_or(Refusal::NoneFits);
        }
        Wish::Named(name) => name,
    };
    let answers =
        |disk: &&Disk| disk.serial == *name || disk.name == *name || disk.device.to_str() == Some(name.as_str());
    let names = |disks: &mut dyn Iterator<Item = &Disk>| disks.map(|disk| disk.name.clone()).collect();
    let mut found = disks.iter().filter(answers);
    match (found.next(), found.next()) {
        (Some(disk), None) if !name.is_empty() => Ok(disk),
        (Some(_), Some(_)) => Err(Refusal::Ambiguous {
            name: name.clone(),
            known: names(&mut disks.iter().filter(answers)),
        }),
        _ => Err(Refusal::Unknown {
            name: name.clone(),
            known: names(&mut disks.iter()),
        }),
    }
}

/// Whether a disk may be erased at all.
///
/// # Errors
/// Says why not.
pub fn check(disk: &Disk) -> Result<(), Refusal> {
    let name = disk.name.clone();
    if disk.is_system {
        return Err(Refusal::System { name });
    }
    if !disk.used.is_empty() {
        let used = disk.used.clone();
        return Err(Refusal::Used { name, used });
    }
    if disk.read_only {
        return Err(Refusal::ReadOnly { name });
    }
    if disk.sector != SECTOR {
        let sector = disk.sector;
        return Err(Refusal::Sectors { name, sector });
    }
    if disk.bytes < SMALLEST {
        let bytes = disk.bytes;
        return Err(Refusal::Small { name, bytes });
    }
    Ok(())
}

/// The disk, if it may be erased and the word was given.
///
/// # Errors
/// See [`Refusal`].
pub fn decide<'a>(disks: &'a [Disk], wish: &Wish, word: Option<&str>) -> Result<&'a Disk, Refusal> {
    let disk = choose(disks, wish)?;
    check(disk)?;
    if word == Some(disk.word()) {
        return Ok(disk);
    }
    Err(Refusal::Word {
        name: disk.name.clone(),
        word: disk.word().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(name: &str, change: impl FnOnce(&mut Disk)) -> Disk {
        let mut disk = Disk {
            name: name.to_owned(),
            device: format!("/dev/{name}").into(),
            serial: format!("S-{name}"),
            bytes: 8 << 30,
            sector: 512,
            ..Disk::default()
        };
        change(&mut disk);
        disk
    }

    fn named(name: &str) -> Wish {
        Wish::Named(name.to_owned())
    }

    #[test]
    fn only_a_free_large_writable_disk_with_its_word_is_erased() {
        let disks = [
            disk("sda", |disk| disk.is_system = true),
            disk("sdb", |disk| disk.used = vec!["sdb1 is mounted at /mnt".into()]),
            disk("sdc", |disk| disk.bytes = SMALLEST - 1),
            disk("sdd", |disk| disk.read_only = true),
            disk("sde", |disk| disk.sector = 4096),
            disk("sdf", |_| ()),
        ];
        let table = [
            ("sda", "is the disk the running system came from"),
            ("sdb", "sdb1 is mounted at /mnt"),
            ("sdc", "at least 4.0 GiB"),
            ("sdd", "read-only"),
            ("sde", "sectors of 4096 bytes"),
            ("sdg", "there is no disk"),
            ("", "there is no disk"),
        ];
        for (name, says) in table {
            let error = decide(&disks, &named(name), Some(&format!("S-{name}"))).unwrap_err();
            assert!(error.to_string().contains(says), "{name}: {error}");
        }
        for name in ["sdf", "S-sdf", "/dev/sdf"] {
            assert_eq!(decide(&disks, &named(name), Some("S-sdf")).unwrap().name, "sdf");
        }
        for word in [None, Some(""), Some("sdf"), Some("yes"), Some("s-sdf")] {
            let error = decide(&disks, &named("sdf"), word).unwrap_err();
            assert!(error.to_string().contains("--erase S-sdf"), "{error}");
        }
    }

    #[test]
    fn a_disk_without_serial_is_erased_by_its_name_and_twins_are_not_guessed() {
        let disks = [
            disk("vda", |disk| disk.serial.clear()),
            disk("sda", |disk| disk.serial = "same".into()),
            disk("sdb", |disk| disk.serial = "same".into()),
        ];
        assert_eq!(decide(&disks, &named("vda"), Some("vda")).unwrap().name, "vda");
        assert!(matches!(choose(&disks, &named("same")), Err(Refusal::Ambiguous { .. })));
        assert_eq!(decide(&disks, &named("sdb"), Some("same")).unwrap().name, "sdb");
    }

    #[test]
    fn the_smallest_is_the_smallest_that_may_be_erased() {
        let disks = [
            disk("sda", |disk| (disk.bytes, disk.is_system) = (4 << 30, true)),
            disk("sdb", |disk| disk.bytes = 1 << 30),
            disk("sdc", |disk| disk.bytes = 64 << 30),
            disk("sdd", |disk| disk.bytes = 16 << 30),
            disk("sde", |disk| (disk.bytes, disk.removable) = (8 << 30, true)),
        ];
        assert_eq!(choose(&disks, &Wish::Smallest).unwrap().name, "sdd");
        assert_eq!(choose(&disks[..2], &Wish::Smallest), Err(Refusal::NoneFits));
    }
}
