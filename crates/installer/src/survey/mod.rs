//! The disks of a machine: what they are, what is on them, and whether they are in use.

mod kernel;
pub mod recognise;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use kernel::{disks, named};

use crate::meter::size;

/// A disk as a person should see it before it is erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Disk {
    /// Name in `/sys/block`.
    pub name: String,
    /// Device node.
    pub device: PathBuf,
    /// What its maker calls it.
    pub model: String,
    /// Serial number, or the world-wide name; empty if the disk does not say.
    pub serial: String,
    /// Bytes.
    pub bytes: u64,
    /// Bytes of a logical sector.
    pub sector: u64,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// Whether it is a medium that can be taken out.
    pub removable: bool,
    /// Whether the running system came from it.
    pub is_system: bool,
    /// What lies on the whole disk if it has no partitions.
    pub content: Option<String>,
    /// Its partitions.
    pub partitions: Vec<Partition>,
    /// What uses the disk or a partition of it, for instance `/dev/sda1 is mounted at /mnt`.
    pub used: Vec<String>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Partition {
    /// Name in `/sys/block/DISK`.
    pub name: String,
    /// Name in the partition table.
    pub label: String,
    /// Bytes.
    pub bytes: u64,
    /// What lies on it, for instance `ext4 "photos"`.
    pub content: Option<String>,
}

impl Disk {
    /// The word that has to be given to erase this disk: its serial number, or its name if it has none.
    #[must_use]
    pub fn word(&self) -> &str {
        if self.serial.is_empty() {
            &self.name
        } else {
            &self.serial
        }
    }

    /// What a person needs to know it by, as lines.
    #[must_use]
    pub fn describe(&self) -> String {
        let serial = if self.serial.is_empty() {
            "no serial number".to_owned()
        } else {
            format!("serial {}", self.serial)
        };
        let model = if self.model.is_empty() { "disk" } else { &self.model };
        let mut text = format!("{}: {model}, {serial}, {}", self.name, size(self.bytes));
        for (holds, what) in [
            (self.is_system, ", the running system"),
            (self.read_only, ", read-only"),
            (self.removable, ", removable"),
        ] {
            if holds {
                text.push_str(what);
            }
        }
        if self.partitions.is_empty() {
            let content = self.content.as_deref().unwrap_or("something unknown, no partitions");
            text.push_str(&format!("\n    holds: {content}"));
        }
        for part in &self.partitions {
            let content = part.content.as_deref().unwrap_or("something unknown");
            text.push_str(&format!(
                "\n    {}: {:?}, {}, {content}",
                part.name,
                part.label,
                size(part.bytes)
            ));
        }
        for used in &self.used {
            text.push_str(&format!("\n    in use: {used}"));
        }
        text
    }
}
