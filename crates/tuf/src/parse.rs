//! From the bytes of a metadata file to its envelope: what is signed, in canonical form, and the signatures.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{self, NotCanonical};
use crate::key::KeyId;
use crate::metadata::Role;

/// A file that is no metadata of the role it was read as. Signatures have not been looked at.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Not JSON, or not the members this role has.
    #[error("it is not understood: {0}")]
    Json(#[from] serde_json::Error),
    /// A number that cannot be signed.
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
    /// Metadata of another role.
    #[error("it is the metadata of {found:?}, where that of {expected:?} belongs")]
    OtherRole {
        /// The role asked for.
        expected: &'static str,
        /// What `_type` says.
        found: String,
    },
    /// One key signed twice.
    #[error("key {0} is named by two signatures")]
    DuplicateSignature(KeyId),
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signature {
    /// Whose.
    pub(crate) keyid: KeyId,
    /// Hexadecimal digits; anything else is a signature that does not count.
    pub(crate) sig: String,
}

/// A metadata file taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    /// The signed part, as found.
    pub(crate) signed: Value,
    /// At most one per key id.
    pub(crate) signatures: Vec<Signature>,
    /// What the signatures are over.
    pub(crate) canonical: Vec<u8>,
}

impl Envelope {
    /// Takes a file apart.
    pub(crate) fn parse(file: &[u8]) -> Result<Envelope, ParseError> {
        #[derive(Deserialize)]
        struct Raw {
            signatures: Vec<Signature>,
            signed: Value,
        }
        let Raw { signatures, signed } = serde_json::from_value(json::parse(file)?)?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = signatures.iter().find(|signature| !seen.insert(&signature.keyid)) {
            return Err(ParseError::DuplicateSignature(twice.keyid.clone()));
        }
        let canonical = json::canonical(&signed)?;
        Ok(Envelope {
            signed,
            signatures,
            canonical,
        })
    }

    /// The signed part as the metadata of one role.
    pub(crate) fn content<R: Role>(&self) -> Result<R, ParseError> {
        #[derive(Deserialize)]
        struct Header {
            #[serde(rename = "_type")]
            role: String,
        }
        let header = Header::deserialize(&self.signed)?;
        if header.role != R::TYPE {
            let (expected, found) = (R::TYPE, header.role);
            return Err(ParseError::OtherRole { expected, found });
        }
        Ok(R::deserialize(&self.signed)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Root, Timestamp};

    #[test]
    fn what_is_no_metadata_is_named() {
        let cases = [
            ("{", "EOF"),
            ("7", "invalid type"),
            (r#"{"signatures": [], "signed": {"_type": "root"}}"#, "missing field"),
            (
                r#"{"signatures": [], "signed": {"_type": "timestamp"}}"#,
                "the metadata of \"timestamp\"",
            ),
            (r#"{"signatures": [], "signed": {}}"#, "_type"),
            (r#"{"signatures": [], "signed": {"a": 1.5}}"#, "floating point"),
            (
                r#"{"signatures": [{"keyid": "k", "sig": ""}, {"keyid": "k", "sig": "00"}], "signed": {}}"#,
                "key k is named by two signatures",
            ),
        ];
        for (text, expected) in cases {
            let read = Envelope::parse(text.as_bytes()).and_then(|envelope| envelope.content::<Root>());
            let error = read.unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn members_beyond_the_specification_are_signed_and_ignored() {
        let text = r#"{"signatures": [], "extra": 1, "signed": {
            "_type": "timestamp", "spec_version": "1.0.31", "version": 3, "expires": "2030-01-01T00:00:00Z",
            "meta": {"snapshot.json": {"version": 2, "more": [1]}}, "other": {"b": 1, "a": 2}}}"#;
        let envelope = Envelope::parse(text.as_bytes()).unwrap();
        assert_eq!(envelope.content::<Timestamp>().unwrap().snapshot().version.get(), 2);
        let canonical = String::from_utf8(envelope.canonical).unwrap();
        assert!(canonical.contains(r#""other":{"a":2,"b":1}"#), "{canonical}");
    }
}
