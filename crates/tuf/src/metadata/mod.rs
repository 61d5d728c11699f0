//! The signed part of the files of a repository, one type a role.
//!
//! Source: The Update Framework specification 1.0, section 4. Members beyond it are ignored when read, but signed all
//! the same; they are lost when a typed value is written anew.

mod delegation;
mod pattern;
mod root;
mod snapshot;
mod targets;

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::key::KeyId;

pub use delegation::{DelegatedRole, Delegations, Paths};
pub use pattern::{PathPattern, PatternError};
pub use root::{Root, RootRoles};
pub use snapshot::{MetaFile, Snapshot, Timestamp};
pub use targets::{TargetFile, Targets};

/// Version of a metadata file, counted from 1.
pub type Version = NonZeroU64;

/// The signed part of one kind of file.
pub trait Role: DeserializeOwned {
    /// What `_type` says.
    const TYPE: &'static str;
    /// Version of this file.
    fn version(&self) -> Version;
    /// From this moment on the file is void.
    fn expires(&self) -> jiff::Timestamp;
}

/// Version of the specification that a file follows. Any `1.…` is read; `1.0.31` is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpecVersion(String);

impl Default for SpecVersion {
    fn default() -> Self {
        SpecVersion("1.0.31".to_owned())
    }
}

impl TryFrom<String> for SpecVersion {
    type Error = String;

    fn try_from(text: String) -> Result<SpecVersion, String> {
        match text.split_once('.') {
            Some(("1", _)) => Ok(SpecVersion(text)),
            _ => Err(format!(
                "it follows version {text:?} of the specification, not 1.…; this machine needs a newer release"
            )),
        }
    }
}

impl From<SpecVersion> for String {
    fn from(version: SpecVersion) -> String {
        version.0
    }
}

/// Who signs for a role: distinct key ids, and how many of them it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawRoleKeys", into = "RawRoleKeys")]
pub struct RoleKeys {
    keyids: Vec<KeyId>,
    threshold: u32,
}

#[derive(Serialize, Deserialize)]
struct RawRoleKeys {
    keyids: Vec<KeyId>,
    threshold: u32,
}

/// Keys that make no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleKeysError {
    /// Nobody would have to sign.
    #[error("a threshold of 0 asks for no signature")]
    Threshold,
    /// One key would count twice.
    #[error("key {0} is there twice in one role")]
    Duplicate(KeyId),
}

impl RoleKeys {
    /// A role that takes `threshold` of these keys. A threshold above their number is a role nobody can sign for.
    ///
    /// # Errors
    /// A threshold of 0, a key id twice.
    pub fn new(threshold: u32, keyids: impl IntoIterator<Item = KeyId>) -> Result<RoleKeys, RoleKeysError> {
        let keyids: Vec<_> = keyids.into_iter().collect();
        if threshold == 0 {
            return Err(RoleKeysError::Threshold);
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = keyids.iter().find(|id| !seen.insert(*id)) {
            return Err(RoleKeysError::Duplicate(twice.clone()));
        }
        Ok(RoleKeys { keyids, threshold })
    }

    /// Ids of the keys.
    #[must_use]
    pub fn keyids(&self) -> &[KeyId] {
        &self.keyids
    }

    /// How many of them must have signed, at least 1.
    #[must_use]
    pub fn threshold(&self) -> u32 {
        self.threshold
    }
}

impl TryFrom<RawRoleKeys> for RoleKeys {
    type Error = RoleKeysError;

    fn try_from(raw: RawRoleKeys) -> Result<RoleKeys, RoleKeysError> {
        RoleKeys::new(raw.threshold, raw.keyids)
    }
}

impl From<RoleKeys> for RawRoleKeys {
    fn from(RoleKeys { keyids, threshold }: RoleKeys) -> RawRoleKeys {
        RawRoleKeys { keyids, threshold }
    }
}

/// `expires` as the specification writes it: whole seconds, UTC, ending in `Z`.
mod expiry {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(time: &jiff::Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.0}", time.round(jiff::Unit::Second).unwrap_or(*time)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<jiff::Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        let well_formed = text.len() == 20 && text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T');
        let parsed = well_formed.then(|| text.parse().ok()).flatten();
        parsed.ok_or_else(|| de::Error::custom(format_args!("{text:?} is no time of the form 2030-01-31T00:00:00Z")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Dated {
        #[serde(with = "expiry")]
        expires: jiff::Timestamp,
    }

    #[test]
    fn times_have_one_form() {
        let text = r#"{"expires":"2030-01-31T23:59:01Z"}"#;
        let dated: Dated = serde_json::from_str(text).unwrap();
        assert_eq!(dated.expires.as_second(), 1_896_134_341);
        assert_eq!(serde_json::to_string(&dated).unwrap(), text);
        for bad in [
            "2030-01-31T23:59:01",
            "2030-01-31T23:59:01.5Z",
            "2030-02-31T23:59:01Z",
            "2030-01-31 23:59:01Z",
            "",
        ] {
            let text = format!(r#"{{"expires":"{bad}"}}"#);
            assert!(serde_json::from_str::<Dated>(&text).is_err(), "{bad}");
        }
        let expires = "2030-01-31T23:59:01.25Z".parse().unwrap();
        assert_eq!(serde_json::to_string(&Dated { expires }).unwrap(), text);
    }

    #[test]
    fn a_role_has_distinct_keys_and_a_threshold() {
        let id = |name: &str| KeyId(name.to_owned());
        assert_eq!(RoleKeys::new(0, [id("a")]), Err(RoleKeysError::Threshold));
        assert_eq!(
            RoleKeys::new(1, [id("a"), id("b"), id("a")]),
            Err(RoleKeysError::Duplicate(id("a")))
        );
        let text = r#"{"keyids":["a","b"],"threshold":3}"#;
        let keys: RoleKeys = serde_json::from_str(text).unwrap();
        assert_eq!((keys.threshold(), keys.keyids().len()), (3, 2));
        assert_eq!(serde_json::to_string(&keys).unwrap(), text);
        assert!(serde_json::from_str::<RoleKeys>(r#"{"keyids":["a","a"],"threshold":1}"#).is_err());
    }

    #[test]
    fn only_the_first_major_version_is_read() {
        for (text, good) in [
            ("1.0.31", true),
            ("1.99", true),
            ("2.0.0", false),
            ("10.0", false),
            ("1", false),
        ] {
            assert_eq!(SpecVersion::try_from(text.to_owned()).is_ok(), good, "{text}");
        }
    }
}
