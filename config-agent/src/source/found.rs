//! What a source gives: bytes and where they came from. What they mean is decided elsewhere.

use super::{MetaData, Origin};

/// Longest file beside the document.
pub(super) const MAX_EXTRA: usize = 256 << 10;

/// How a network configuration is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFormat {
    /// YAML or JSON of version 1 or 2, as NoCloud has it.
    CloudInit,
    /// OpenStack's `network_data.json`.
    OpenStack,
}

/// A network configuration beside the document, not yet understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// How it is written.
    pub format: NetworkFormat,
    /// Its bytes.
    pub bytes: Vec<u8>,
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
    /// How to set up the network, apart from the document.
    pub network_config: Option<NetworkConfig>,
    /// What the platform's owner adds to every machine.
    pub vendor_data: Option<Vec<u8>>,
}

impl Found {
    /// A document and nothing else.
    #[must_use]
    pub fn document(origin: Origin, user_data: Vec<u8>) -> Self {
        Self {
            origin,
            user_data,
            meta_data: MetaData::default(),
            network_config: None,
            vendor_data: None,
        }
    }
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
    /// What else is worth a word, a sentence each.
    pub notes: Vec<String>,
    /// How long it took.
    pub took: std::time::Duration,
}

impl Looked {
    /// Takes in what one source gave, with everything unpacked.
    pub(super) fn add(&mut self, found: Result<Option<Found>, String>) {
        match found.and_then(|found| found.map(super::encoding::unpack).transpose()) {
            Ok(found) => self.found.extend(found),
            Err(problem) => self.problems.push(problem),
        }
    }
}
