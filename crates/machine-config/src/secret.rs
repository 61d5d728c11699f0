//! A value that must not be shown, and the name by which it may be spoken of.
//!
//! [`Secret`] has no `Debug`, `Display` or `Serialize`: it cannot reach a log, a report or a
//! generation by accident. What travels in configuration is a [`SecretRef`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::value::Name;

/// A secret value. The only way to its bytes is [`Secret::expose`], which is easy to search for.
///
/// ```compile_fail
/// let s = keelson_machine_config::Secret::new("x".into());
/// println!("{s:?}");
/// ```
/// ```compile_fail
/// let s = keelson_machine_config::Secret::new("x".into());
/// println!("{s}");
/// ```
/// ```compile_fail
/// let s = keelson_machine_config::Secret::new("x".into());
/// serde_json::to_string(&s).unwrap();
/// ```
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_debug_implementations, reason = "a secret must not be printable")]
pub struct Secret(String);

/// The secret values of one document, by the name that [`SecretRef`] uses.
#[derive(Clone, Default, PartialEq, Eq)]
#[expect(missing_debug_implementations, reason = "a secret must not be printable")]
pub struct SecretValues(pub BTreeMap<Name, Secret>);

impl Secret {
    /// Takes a value into custody.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, to hand to the one consumer it is meant for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Refers to a secret whose value lies in [`crate::SECRETS_DIR`] under `name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretRef {
    /// Name of the secret, also its file name: `NAME` of `[secrets.NAME]`, or `registry-HOST` for a password written in
    /// place.
    #[serde(rename = "secret")]
    pub name: Name,
    /// Keyed digest of the value (hex), so that a generation changes when the value does.
    /// It says nothing about the value to whoever lacks the machine's key. Empty until staged.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
}

impl SecretRef {
    /// The file that holds the value while the machine runs.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(crate::SECRETS_DIR).join(self.name.as_str())
    }

    /// Reads the value from [`SecretRef::path`].
    ///
    /// # Errors
    /// The file is absent, unreadable or not UTF-8.
    pub fn read(&self) -> std::io::Result<Secret> {
        std::fs::read_to_string(self.path()).map(Secret::new)
    }
}
