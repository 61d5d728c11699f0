//! The parts of a configuration that firmware hands over by name.

use std::collections::BTreeMap;

use super::{Found, Kind, MetaData, NetworkConfig, NetworkFormat, Origin};

/// One part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The document.
    Document,
    /// Facts about the machine.
    MetaData,
    /// How to set up the network.
    NetworkConfig,
    /// What the platform's owner adds.
    VendorData,
}

/// The parts and their names as credentials.
const NAMES: [(Part, &str); 4] = [
    (Part::Document, "keelson.config"),
    (Part::MetaData, "keelson.meta-data"),
    (Part::NetworkConfig, "keelson.network-config"),
    (Part::VendorData, "keelson.vendor-data"),
];

impl Part {
    /// The part that a credential of this name holds.
    #[must_use]
    pub fn of_credential(name: &[u8]) -> Option<Self> {
        let known = NAMES.iter().find(|(_, own)| own.as_bytes() == name);
        known.map(|(part, _)| *part)
    }

    /// The name of the credential that holds it.
    #[must_use]
    pub fn credential(self) -> &'static str {
        let known = NAMES.iter().find(|(part, _)| *part == self);
        known.map_or("", |(_, name)| name)
    }

    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(part, _)| *part)
    }
}

/// A part that is there twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{first} and {second} are both given, neither is used: remove one")]
pub struct Twice {
    first: String,
    second: String,
}

/// Parts that were found, each with the name it was found under.
///
/// No `Debug`: a document holds secrets.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "a document holds secrets")]
pub struct Parts(BTreeMap<Part, (String, Vec<u8>)>);

impl Parts {
    /// Takes in a part.
    ///
    /// # Errors
    /// It is there already.
    pub fn add(&mut self, part: Part, name: &str, bytes: Vec<u8>) -> Result<(), Twice> {
        if let Some((first, _)) = self.0.get(&part) {
            return Err(Twice {
                first: first.clone(),
                second: name.to_owned(),
            });
        }
        self.0.insert(part, (name.to_owned(), bytes));
        Ok(())
    }

    /// Bytes of a part.
    #[must_use]
    pub fn get(&self, part: Part) -> Option<&[u8]> {
        self.0.get(&part).map(|(_, bytes)| bytes.as_slice())
    }

    /// Bytes of all parts together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they give together; `None` without any part. `origin` makes the origin from a part's name.
    pub(super) fn found(mut self, kind: Kind, origin: impl Fn(&str) -> Origin) -> Option<Found> {
        let (first, _) = self.0.values().next()?;
        let origin = origin(first);
        debug_assert_eq!(origin.kind, kind);
        let mut take = |part| self.0.remove(&part).map(|(_, bytes)| bytes);
        Some(Found {
            user_data: take(Part::Document).unwrap_or_default(),
            meta_data: take(Part::MetaData).map_or_else(MetaData::default, |bytes| MetaData::parse(&bytes)),
            network_config: take(Part::NetworkConfig).map(|bytes| NetworkConfig {
                format: NetworkFormat::CloudInit,
                bytes,
            }),
            vendor_data: take(Part::VendorData),
            origin,
        })
    }
}
