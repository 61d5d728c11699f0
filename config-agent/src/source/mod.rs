//! Where documents come from.
//!
//! Each source is one file with one function that looks and gives what it [`Found`]; the order and the choice among
//! them are made elsewhere. To add one: write its file, a [`Kind`], and a line in [`look`].

pub mod block;
mod fat;
mod iso;
mod meta_data;
mod nocloud;
mod read;
mod settle;
mod volume;

use std::path::Path;

use serde::{Deserialize, Serialize};

use block::Attachment;
pub use meta_data::MetaData;
pub use read::ReadAt;
pub use volume::{Volume, VolumeError};

/// A kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A volume labelled `cidata`.
    Nocloud,
}

/// Where a document lay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Kind of the source.
    pub kind: Kind,
    /// Device node at the time; for people.
    pub device: String,
    /// How the device is attached.
    pub attachment: Attachment,
    /// File system of the volume.
    pub filesystem: String,
    /// What tells the volume from others with its label.
    pub volume_id: String,
}

impl Origin {
    /// Whether a document from here comes from the same source as one from `other`. A device that anyone can plug in
    /// must carry the same volume as well.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let device = self.kind == other.kind && self.attachment.same_as(&other.attachment);
        let loose = self.attachment.pluggable() || other.attachment.pluggable();
        device && (!loose || self.volume_id == other.volume_id)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Kind::Nocloud = self.kind;
        write!(
            f,
            "volume cidata ({}, {}) on {}",
            self.filesystem, self.volume_id, self.device
        )
    }
}

/// A document that was found, not yet understood.
///
/// No `Debug`: a document holds secrets.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a document holds secrets")]
pub struct Found {
    /// Where.
    pub origin: Origin,
    /// `user-data`, empty when there is none.
    pub user_data: Vec<u8>,
    /// `meta-data`.
    pub meta_data: MetaData,
}

/// What looking gave.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "a document holds secrets")]
pub struct Looked {
    /// The documents.
    pub found: Vec<Found>,
    /// What was looked at, a phrase each.
    pub at: Vec<String>,
    /// What could not be read, a sentence each.
    pub problems: Vec<String>,
}

/// Looks at every local source. Waits a little for devices that the kernel is still detecting, and only if nothing was
/// found without waiting.
#[must_use]
pub fn look(sys: &Path, dev: &Path) -> Looked {
    let mut looked = nocloud::look(sys, dev);
    let mut waiting = settle::Waiting::new();
    while looked.found.is_empty() && looked.problems.is_empty() && waiting.worthwhile(sys) {
        looked = nocloud::look(sys, dev);
    }
    looked
}

/// Entry points for fuzzing.
pub mod fuzz {
    use super::{MetaData, Volume};

    /// A block device: label, identity and the files of a NoCloud volume.
    pub fn volume(data: &[u8]) {
        if let Ok(Some(volume)) = Volume::open(data) {
            let _ = (volume.label(), volume.id(), volume.kind());
            for name in ["user-data", "meta-data"] {
                let content = volume.file(name, 4096);
                assert!(content.ok().flatten().is_none_or(|content| content.len() <= 4096));
            }
        }
    }

    /// NoCloud's `meta-data`.
    pub fn meta_data(data: &[u8]) {
        let _ = MetaData::parse(data);
    }
}
