//! The manifest of a release: what it consists of and which files carry it.

use std::collections::BTreeMap;
use std::fmt;

use keelson_image_layout as layout;
use keelson_image_layout::RootHash;
use keelson_image_layout::verity::VerityParams;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Digest, SEGMENT_BYTES, Version};

/// The format written here.
pub const FORMAT: u32 = 1;
/// Most bytes of a manifest.
pub const MANIFEST_BYTES: usize = 1 << 20;
/// Most bytes of an index.
const INDEX_BYTES: u32 = 1 << 20;
/// Most releases a manifest has patches from.
const PATCHES: usize = 64;

/// What a release says of itself. Unknown fields are ignored, fields are only added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of this description; [`FORMAT`].
    pub format: u32,
    /// Oldest format whose readers understand it.
    pub min_reader: u32,
    /// Kind of machine, `cloud` or `metal`.
    pub flavour: String,
    /// Version of the release.
    pub version: Version,
    /// Seconds since 1970.
    pub time: u64,
    /// How its root is mapped.
    pub verity: VerityParams,
    /// Oldest version that a host may go back to once this release has proven itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Version>,
    /// What it writes on the state partition, by store.
    pub stores: BTreeMap<String, Store>,
    /// What it consists of.
    pub parts: Parts,
    /// Ways to it from earlier releases.
    #[serde(default)]
    pub patches: Vec<Patch>,
}

/// Formats of a store: a release may run on one whose `min_reader` is at most its own `format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// Newest format it reads and the one it writes.
    pub format: u32,
    /// Oldest format whose readers understand what it writes.
    pub min_reader: u32,
}

/// The name of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartName {
    /// The root file system (erofs), without its hash tree.
    Root,
    /// The boot entry (unified kernel image).
    Boot,
    /// systemd-boot.
    Loader,
}

/// All parts of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// The root file system.
    pub root: Part,
    /// The boot entry.
    pub boot: Part,
    /// The boot loader.
    pub loader: Part,
}

/// A part: its content by segment, and the file that carries all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Bytes of content.
    pub length: u64,
    /// Digest of the whole content.
    pub sha256: Digest,
    /// Digest of each segment.
    pub segments: Vec<Digest>,
    /// The file with all segments.
    pub full: PayloadFile,
}

/// A file with segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadFile {
    /// Bytes.
    pub length: u64,
    /// Bytes of the index it begins with.
    pub index_length: u32,
    /// Digest of the index.
    pub index_sha256: Digest,
}

/// A file with what differs from an earlier release, root and boot entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// The earlier release.
    pub from: Source,
    /// The file.
    pub file: PayloadFile,
}

/// An earlier release, as far as a patch depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its version.
    pub version: Version,
    /// Top of its hash tree.
    pub root_hash: RootHash,
    /// Bytes of its root.
    pub root_length: u64,
    /// Digest of its boot entry.
    pub boot_sha256: Digest,
    /// Bytes of its boot entry.
    pub boot_length: u64,
}

/// Why a manifest is refused.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// Not what the format says.
    #[error("the manifest cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Longer than any manifest.
    #[error("a manifest has at most {MANIFEST_BYTES} bytes, not {0}")]
    TooLong(usize),
    /// Made for a newer update agent.
    #[error(
        "the manifest needs a reader of format {min_reader}, this one reads {FORMAT}: update to a release in between"
    )]
    TooNew {
        /// Format it needs.
        min_reader: u32,
    },
    /// A size that cannot be.
    #[error("{place}: {found} bytes, expected {expected}")]
    Size {
        /// Field.
        place: String,
        /// Bytes.
        found: u64,
        /// What it could be.
        expected: String,
    },
    /// A list of the wrong length.
    #[error("{place}: {found} entries, expected {expected}")]
    Count {
        /// Field.
        place: String,
        /// Entries.
        found: usize,
        /// What it could be.
        expected: String,
    },
    /// Two patches from one release.
    #[error("patches: two from one release ({0})")]
    Twice(Version),
}

impl PartName {
    /// All, in the order of files.
    pub const ALL: [PartName; 3] = [PartName::Root, PartName::Boot, PartName::Loader];

    /// `root`, `boot` or `loader`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            PartName::Root => "root",
            PartName::Boot => "boot",
            PartName::Loader => "loader",
        }
    }

    /// Bytes there is room for.
    fn room(self) -> u64 {
        let part = match self {
            PartName::Root => layout::Part::RootA,
            PartName::Boot | PartName::Loader => layout::Part::Esp,
        };
        part.size().unwrap_or_default()
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Part {
    /// Bytes of segment `number`; `None` behind the last.
    #[must_use]
    pub fn segment_length(&self, number: u32) -> Option<u32> {
        let start = u64::from(number) * u64::from(SEGMENT_BYTES);
        let left = self.length.checked_sub(start).filter(|left| *left > 0)?;
        Some(u32::try_from(left).unwrap_or(SEGMENT_BYTES).min(SEGMENT_BYTES))
    }
}

impl Manifest {
    /// Reads a manifest. The bytes must be those of a verified target.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        if bytes.len() > MANIFEST_BYTES {
            return Err(ManifestError::TooLong(bytes.len()));
        }
        #[derive(Deserialize)]
        struct Head {
            min_reader: u32,
        }
        let Head { min_reader } = serde_json::from_slice(bytes)?;
        if min_reader > FORMAT {
            return Err(ManifestError::TooNew { min_reader });
        }
        let manifest: Manifest = serde_json::from_slice(bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The text of a manifest.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// A part by name.
    #[must_use]
    pub const fn part(&self, name: PartName) -> &Part {
        match name {
            PartName::Root => &self.parts.root,
            PartName::Boot => &self.parts.boot,
            PartName::Loader => &self.parts.loader,
        }
    }

    /// The patch from a release that is known by its root, if its boot entry is the released one too (it is not on a
    /// host that signs its own).
    #[must_use]
    pub fn patch_from(&self, root: RootHash, boot: Digest) -> Option<&Patch> {
        let is_it = |patch: &&Patch| patch.from.root_hash == root && patch.from.boot_sha256 == boot;
        self.patches.iter().find(is_it)
    }

    /// Bytes of everything in full: what an update without a patch fetches.
    #[must_use]
    pub fn full_length(&self) -> u64 {
        PartName::ALL.iter().map(|name| self.part(*name).full.length).sum()
    }

    fn check(&self) -> Result<(), ManifestError> {
        for name in PartName::ALL {
            check_part(name, self.part(name))?;
        }
        let root = self.parts.root.length;
        if self.verity.data_blocks.checked_mul(layout::verity::BLOCK as u64) != Some(root) {
            return Err(ManifestError::Size {
                place: "verity.data_blocks".into(),
                found: root,
                expected: format!("{} blocks of {}", self.verity.data_blocks, layout::verity::BLOCK),
            });
        }
        if self.patches.len() > PATCHES {
            return Err(ManifestError::Count {
                place: "patches".into(),
                found: self.patches.len(),
                expected: format!("at most {PATCHES}"),
            });
        }
        for (number, patch) in self.patches.iter().enumerate() {
            let place = format!("patches[{number}]");
            check_size(
                &format!("{place}.from.root_length"),
                patch.from.root_length,
                PartName::Root.room(),
            )?;
            check_size(
                &format!("{place}.from.boot_length"),
                patch.from.boot_length,
                PartName::Boot.room(),
            )?;
            check_file(&format!("{place}.file"), &patch.file)?;
            let earlier = self.patches.iter().take(number);
            if earlier
                .into_iter()
                .any(|other| other.from.root_hash == patch.from.root_hash)
            {
                return Err(ManifestError::Twice(patch.from.version.clone()));
            }
        }
        Ok(())
    }
}

fn check_part(name: PartName, part: &Part) -> Result<(), ManifestError> {
    let place = format!("parts.{name}");
    check_size(&format!("{place}.length"), part.length, name.room())?;
    let expected = part.length.div_ceil(u64::from(SEGMENT_BYTES));
    if part.segments.len() as u64 != expected {
        return Err(ManifestError::Count {
            place: format!("{place}.segments"),
            found: part.segments.len(),
            expected: expected.to_string(),
        });
    }
    check_file(&format!("{place}.full"), &part.full)
}

fn check_file(place: &str, file: &PayloadFile) -> Result<(), ManifestError> {
    check_size(
        &format!("{place}.index_length"),
        file.index_length.into(),
        INDEX_BYTES.into(),
    )?;
    if file.length < file.index_length.into() || file.length > PartName::Root.room() * 2 {
        return Err(ManifestError::Size {
            place: format!("{place}.length"),
            found: file.length,
            expected: format!("{} to {}", file.index_length, PartName::Root.room() * 2),
        });
    }
    Ok(())
}

fn check_size(place: &str, found: u64, room: u64) -> Result<(), ManifestError> {
    if (1..=room).contains(&found) {
        return Ok(());
    }
    Err(ManifestError::Size {
        place: place.to_owned(),
        found,
        expected: format!("1 to {room}"),
    })
}
