//! What `keelson install` and the installing program say to each other: one JSON object a line
//! (`docs/formats/install.md`). Fields are only added, unknown ones are ignored.

use serde::{Deserialize, Serialize};

use crate::decide::Wish;
use crate::meter::Progress;
use crate::survey::Disk;

/// Longest line either side takes.
pub const LINE_MOST: u64 = 4 << 20;
/// Largest provisioning document.
pub const CONFIG_MOST: usize = 1 << 20;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// What disks there are.
    Disks,
    /// Erase a disk and put the running release onto it.
    Install {
        /// Which one.
        disk: Wish,
        /// Its word: serial number, or name without one.
        erase: Option<String>,
        /// Provisioning document for the new machine.
        #[serde(default)]
        config: Option<String>,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// The disks.
    Disks {
        /// In the kernel's order.
        disks: Vec<Disk>,
    },
    /// The disk that is about to be erased.
    Erasing {
        /// As it was.
        disk: Disk,
    },
    /// How far it is.
    Progress {
        /// Where it stands.
        progress: Progress,
    },
    /// The release is on the disk and was read back.
    Done {
        /// Kernel name of the disk.
        disk: String,
        /// The release.
        version: String,
    },
    /// Nothing was done, or what was begun was left without a partition table.
    Refused {
        /// Why, for people.
        message: String,
        /// Whether the disk was already being written.
        begun: bool,
    },
}
