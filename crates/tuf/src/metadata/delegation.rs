//! Delegations: which other role may sign for which names.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{PathPattern, RoleKeys};
use crate::key::{Key, KeyId};

/// Names of the roles that root speaks of; no delegated role may bear one.
const TOP_LEVEL: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];
/// Bytes of a role's name: percent-encoded it is still a file name.
const LONGEST_NAME: usize = 64;

/// Roles that sign for some names in place of the role this stands in, in order of precedence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawDelegations", into = "RawDelegations")]
pub struct Delegations {
    /// The keys that `roles` name.
    pub keys: BTreeMap<KeyId, Key>,
    /// The first that matches is asked first.
    pub roles: Vec<DelegatedRole>,
}

/// A role that signs for some names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegatedRole {
    /// Its name, without version and `.json`.
    pub name: String,
    /// Who signs for it.
    pub keys: RoleKeys,
    /// Whether the search for a matching name ends here, found or not.
    pub terminating: bool,
    /// The names it signs for.
    pub paths: Paths,
}

/// The names a delegated role signs for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paths {
    /// Those that match one of these patterns.
    Patterns(Vec<PathPattern>),
    /// Those whose SHA-256, in hexadecimal digits, begins with one of these.
    HashPrefixes(Vec<String>),
}

impl DelegatedRole {
    /// Whether it signs for this name.
    #[must_use]
    pub fn covers(&self, target: &str) -> bool {
        match &self.paths {
            Paths::Patterns(patterns) => patterns.iter().any(|pattern| pattern.matches(target)),
            Paths::HashPrefixes(prefixes) => {
                let hash = hex::encode(Sha256::digest(target));
                prefixes.iter().any(|prefix| hash.starts_with(prefix.as_str()))
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct RawDelegations {
    keys: BTreeMap<KeyId, Key>,
    roles: Vec<RawRole>,
}

#[derive(Serialize, Deserialize)]
struct RawRole {
    name: String,
    #[serde(flatten)]
    keys: RoleKeys,
    terminating: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<PathPattern>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_hash_prefixes: Option<Vec<String>>,
}

/// A delegation that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DelegationError {
    /// Empty, too long, or that of a top-level role.
    #[error("no delegated role may be called {0:?}: 1 to 64 bytes, other than the top-level roles")]
    Name(String),
    /// One name, two sets of keys.
    #[error("the role {0:?} is delegated twice by one role")]
    Duplicate(String),
    /// Both kinds of paths, or none.
    #[error("the delegated role {0:?} needs either paths or path_hash_prefixes")]
    Paths(String),
    /// No beginning of a hash.
    #[error("{prefix:?}, a prefix of the delegated role {role:?}, is not in lower-case hexadecimal digits")]
    Prefix {
        /// The role.
        role: String,
        /// As found.
        prefix: String,
    },
}

impl TryFrom<RawDelegations> for Delegations {
    type Error = DelegationError;

    fn try_from(raw: RawDelegations) -> Result<Delegations, DelegationError> {
        let mut names = BTreeSet::new();
        if let Some(twice) = raw.roles.iter().find(|role| !names.insert(&role.name)) {
            return Err(DelegationError::Duplicate(twice.name.clone()));
        }
        let roles = raw
            .roles
            .into_iter()
            .map(DelegatedRole::try_from)
            .collect::<Result<_, _>>()?;
        let keys = raw.keys;
        Ok(Delegations { keys, roles })
    }
}

impl TryFrom<RawRole> for DelegatedRole {
    type Error = DelegationError;

    fn try_from(raw: RawRole) -> Result<DelegatedRole, DelegationError> {
        let name = raw.name;
        if name.is_empty() || name.len() > LONGEST_NAME || TOP_LEVEL.contains(&name.as_str()) {
            return Err(DelegationError::Name(name));
        }
        let paths = match (raw.paths, raw.path_hash_prefixes) {
            (Some(patterns), None) => Paths::Patterns(patterns),
            (None, Some(prefixes)) => Paths::HashPrefixes(checked_prefixes(&name, prefixes)?),
            _ => return Err(DelegationError::Paths(name)),
        };
        let (keys, terminating) = (raw.keys, raw.terminating);
        Ok(DelegatedRole {
            name,
            keys,
            terminating,
            paths,
        })
    }
}

fn checked_prefixes(role: &str, prefixes: Vec<String>) -> Result<Vec<String>, DelegationError> {
    let is_hex = |prefix: &&String| !prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match prefixes.iter().find(is_hex) {
        None => Ok(prefixes),
        Some(bad) => {
            let (role, prefix) = (role.to_owned(), bad.clone());
            Err(DelegationError::Prefix { role, prefix })
        }
    }
}

impl From<Delegations> for RawDelegations {
    fn from(Delegations { keys, roles }: Delegations) -> RawDelegations {
        let roles = roles.into_iter().map(RawRole::from).collect();
        RawDelegations { keys, roles }
    }
}

impl From<DelegatedRole> for RawRole {
    fn from(role: DelegatedRole) -> RawRole {
        let (paths, path_hash_prefixes) = match role.paths {
            Paths::Patterns(patterns) => (Some(patterns), None),
            Paths::HashPrefixes(prefixes) => (None, Some(prefixes)),
        };
        RawRole {
            name: role.name,
            keys: role.keys,
            terminating: role.terminating,
            paths,
            path_hash_prefixes,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(roles: &serde_json::Value) -> Result<Delegations, String> {
        let value = json!({"keys": {}, "roles": roles});
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    fn role(name: &str) -> serde_json::Value {
        json!({"name": name, "keyids": ["k"], "threshold": 1, "terminating": true, "paths": ["rollout/*"]})
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        let value = json!([role("rollout"), {
            "name": "bin-0", "keyids": [], "threshold": 2, "terminating": false, "path_hash_prefixes": ["0", "1f"]}]);
        let delegations = read(&value).unwrap();
        assert_eq!(serde_json::to_value(delegations).unwrap()["roles"], value);
    }

    #[test]
    fn delegations_that_cannot_be_followed_are_refused() {
        let mut both = role("both");
        both["path_hash_prefixes"] = json!(["0"]);
        let mut none = role("none");
        none["paths"] = json!(null);
        let mut prefix = none.clone();
        prefix["path_hash_prefixes"] = json!(["0G"]);
        let cases = [
            (json!([role("a"), role("a")]), "delegated twice"),
            (json!([role("root")]), "may be called \"root\""),
            (json!([role("")]), "may be called \"\""),
            (json!([role(&"x".repeat(65))]), "1 to 64 bytes"),
            (json!([both]), "either paths"),
            (json!([none]), "either paths"),
            (json!([prefix]), "\"0G\""),
        ];
        for (roles, expected) in cases {
            let error = read(&roles).unwrap_err();
            assert!(error.contains(expected), "{roles}: {error}");
        }
    }

    #[test]
    fn a_hash_bin_covers_what_hashes_into_it() {
        let hash = hex::encode(Sha256::digest("a/b.img"));
        let mut bin = read(&json!([role("bin")])).unwrap().roles.remove(0);
        assert!(!bin.covers("a/b.img"));
        bin.paths = Paths::HashPrefixes(vec![hash[..3].to_owned()]);
        assert!(bin.covers("a/b.img"));
        bin.paths = Paths::HashPrefixes(vec!["0".repeat(64)]);
        assert!(!bin.covers("a/b.img"));
    }
}
