//! Where declared containers stand: the file that the engine keeps beside its socket for whoever tells people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the file lies.
pub const DECLARED: &str = "/run/keelson/declared.json";

/// The file. Fields are only added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredStatus {
    /// Version of this document, 1.
    pub format: u32,
    /// Every declared container, by name.
    pub containers: BTreeMap<String, Standing>,
}

/// One of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What is being done: `waiting`, `pulling IMAGE`, `starting`, `runs`.
    pub at: String,
    /// Why the last attempt failed; absent before the first and once it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// An attempt that failed. It is made again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What could not be done.
    pub step: FailedStep,
    /// The causes, outermost first, in one sentence.
    pub reason: String,
}

/// What could not be done for a declared container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailedStep {
    /// Its image could not be pulled.
    Pull,
    /// It could not be made or started.
    Start,
    /// A container that is not declared has its name.
    Name,
    /// A step that this program does not know.
    #[serde(other)]
    Other,
}
