//! `targets.json` and the files of delegated roles: what may be downloaded, and who else may say so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Delegations, Role, SpecVersion, Version, expiry};
use crate::hashes::Hashes;

/// What may be downloaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "_type", rename = "targets")]
pub struct Targets {
    /// Version of the specification.
    pub spec_version: SpecVersion,
    /// Version of this file.
    pub version: Version,
    /// From this moment on the file is void.
    #[serde(with = "expiry")]
    pub expires: jiff::Timestamp,
    /// By name: a path with `/`, without version or hash.
    pub targets: BTreeMap<String, TargetFile>,
    /// Who else may sign for which names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
}

/// A file that may be downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFile {
    /// Bytes.
    pub length: u64,
    /// Hashes of its bytes.
    pub hashes: Hashes,
    /// What the repository says about it, signed with it. No fractions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Value>,
}

impl TargetFile {
    /// Length and SHA-256 of these bytes.
    #[must_use]
    pub fn describe(data: &[u8]) -> TargetFile {
        TargetFile {
            length: data.len() as u64,
            hashes: Hashes::sha256_of(data),
            custom: None,
        }
    }
}

impl Role for Targets {
    const TYPE: &'static str = "targets";

    fn version(&self) -> Version {
        self.version
    }

    fn expires(&self) -> jiff::Timestamp {
        self.expires
    }
}
