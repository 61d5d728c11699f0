//! `root.json`: who may sign for the other three roles, and for the next root.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Role, RoleKeys, SpecVersion, Version, expiry};
use crate::key::{Key, KeyId};

/// Keys and thresholds of the top-level roles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "_type", rename = "root")]
pub struct Root {
    /// Version of the specification.
    pub spec_version: SpecVersion,
    /// Version of this file.
    pub version: Version,
    /// From this moment on the file is void.
    #[serde(with = "expiry")]
    pub expires: jiff::Timestamp,
    /// Whether file names carry versions and hashes. The client asks for nothing else.
    #[serde(default)]
    pub consistent_snapshot: bool,
    /// The keys that `roles` name.
    pub keys: BTreeMap<KeyId, Key>,
    /// Who signs for what.
    pub roles: RootRoles,
}

/// Who signs for the top-level roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootRoles {
    /// The next root, and this one.
    pub root: RoleKeys,
    /// `timestamp.json`.
    pub timestamp: RoleKeys,
    /// `snapshot.json`.
    pub snapshot: RoleKeys,
    /// `targets.json`.
    pub targets: RoleKeys,
}

impl Role for Root {
    const TYPE: &'static str = "root";

    fn version(&self) -> Version {
        self.version
    }

    fn expires(&self) -> jiff::Timestamp {
        self.expires
    }
}
