//! A generation: one accepted document and everything made from it, as files in a directory named by their digest.
//!
//! Described in `docs/formats/config-generation.md`.

mod store;

use std::collections::BTreeMap;

use keelson_image_layout::RootHash;
use keelson_machine_config::MachineConfig;
use keelson_machine_config::plan::Change;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use store::{Kept, Store, StoreError};

use crate::keyed::hex;
use crate::source::Origin;

/// The files of a generation by their paths in it.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Typed configuration.
pub const MACHINE: &str = "machine.json";
/// Where it came from.
pub const PROVENANCE: &str = "provenance.json";
/// What it changed.
pub const PLAN: &str = "plan.json";
/// The document, secret values masked.
pub const DOCUMENT: &str = "document.toml";
/// Files that activation copies stand below this.
pub const RENDERED: &str = "rendered/";

/// Where a generation came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of this file, 1.
    pub format: u32,
    /// The source of the document.
    pub origin: Origin,
    /// The source's instance id, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Whether the source gave metadata and no document.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub metadata_only: bool,
    /// Keyed digest of the document's bytes and of the metadata that count.
    pub fingerprint: String,
    /// The release that put it in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<RootHash>,
    /// The generation that was in force before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Version of the program that made it.
    pub agent: String,
}

/// A generation that was read back and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its digest, 64 hexadecimal digits.
    pub id: String,
    /// What it asks for.
    pub config: MachineConfig,
    /// Where it came from.
    pub provenance: Provenance,
    /// Its rendered files, paths below `rendered/`.
    pub rendered: Files,
}

/// Puts a generation's files together.
///
/// # Errors
/// A part cannot be written as JSON; that is a fault of ours.
pub fn assemble(
    redacted: &str,
    config: &MachineConfig,
    plan: &[Change],
    provenance: &Provenance,
    rendered: Files,
) -> serde_json::Result<Files> {
    let mut files: Files = rendered
        .into_iter()
        .map(|(path, bytes)| (format!("{RENDERED}{path}"), bytes))
        .collect();
    files.insert(DOCUMENT.to_owned(), redacted.as_bytes().to_vec());
    files.insert(MACHINE.to_owned(), json(config)?);
    files.insert(PLAN.to_owned(), json(plan)?);
    files.insert(PROVENANCE.to_owned(), json(provenance)?);
    Ok(files)
}

/// Pretty JSON with a line end.
///
/// # Errors
/// The value cannot be written as JSON.
pub fn json<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The digest that names a generation: SHA-256 over each path and content, lengths included, in the order of paths.
#[must_use]
pub fn digest(files: &Files) -> String {
    let mut hash = Sha256::new();
    for (path, bytes) in files {
        for part in [path.as_bytes(), bytes] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    hex(&hash.finalize())
}
