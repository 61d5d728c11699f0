//! `timestamp.json` and `snapshot.json`: which versions of the other files belong together now.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Role, SpecVersion, Version, expiry};
use crate::hashes::Hashes;

/// A metadata file as another one lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaFile {
    /// Its version.
    pub version: Version,
    /// Bytes, if said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Hashes of the file, if said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashes: Option<Hashes>,
}

impl MetaFile {
    /// Version, length and SHA-256 of a file.
    #[must_use]
    pub fn describe(version: Version, file: &[u8]) -> MetaFile {
        MetaFile {
            version,
            length: Some(file.len() as u64),
            hashes: Some(Hashes::sha256_of(file)),
        }
    }
}

/// Which versions of targets and of every delegated role belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "_type", rename = "snapshot")]
pub struct Snapshot {
    /// Version of the specification.
    pub spec_version: SpecVersion,
    /// Version of this file.
    pub version: Version,
    /// From this moment on the file is void.
    #[serde(with = "expiry")]
    pub expires: jiff::Timestamp,
    /// By name without version prefix: `targets.json` and `ROLE.json`.
    pub meta: BTreeMap<String, MetaFile>,
}

impl Role for Snapshot {
    const TYPE: &'static str = "snapshot";

    fn version(&self) -> Version {
        self.version
    }

    fn expires(&self) -> jiff::Timestamp {
        self.expires
    }
}

/// Which snapshot is the newest: the file that is signed often and expires soon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "_type", rename = "timestamp")]
pub struct Timestamp {
    /// Version of the specification.
    pub spec_version: SpecVersion,
    /// Version of this file.
    pub version: Version,
    /// From this moment on the file is void.
    #[serde(with = "expiry")]
    pub expires: jiff::Timestamp,
    meta: TimestampMeta,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TimestampMeta {
    #[serde(rename = "snapshot.json")]
    snapshot: MetaFile,
}

impl Timestamp {
    /// Names this snapshot.
    #[must_use]
    pub fn new(version: Version, expires: jiff::Timestamp, snapshot: MetaFile) -> Timestamp {
        let spec_version = SpecVersion::default();
        let meta = TimestampMeta { snapshot };
        Timestamp {
            spec_version,
            version,
            expires,
            meta,
        }
    }

    /// The snapshot it names.
    #[must_use]
    pub fn snapshot(&self) -> &MetaFile {
        &self.meta.snapshot
    }
}

impl Role for Timestamp {
    const TYPE: &'static str = "timestamp";

    fn version(&self) -> Version {
        self.version
    }

    fn expires(&self) -> jiff::Timestamp {
        self.expires
    }
}
