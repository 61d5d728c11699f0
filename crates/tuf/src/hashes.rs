//! Hashes that signed metadata gives for a file, and the check of bytes against them as they arrive.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};

/// Hashes of one file by algorithm, in lower-case hexadecimal digits. At least one is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Hashes(BTreeMap<String, String>);

/// What a table of hashes must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashesError {
    /// Nothing to check with.
    #[error("the table of hashes is empty")]
    Empty,
    /// Not as long as this algorithm's, or other characters.
    #[error("the {algorithm} hash {hash:?} is not in lower-case hexadecimal digits of the right length")]
    Digits {
        /// Its algorithm.
        algorithm: String,
        /// As found.
        hash: String,
    },
}

impl TryFrom<BTreeMap<String, String>> for Hashes {
    type Error = HashesError;

    fn try_from(table: BTreeMap<String, String>) -> Result<Hashes, HashesError> {
        if table.is_empty() {
            return Err(HashesError::Empty);
        }
        for (algorithm, hash) in &table {
            if !is_well_formed(algorithm, hash) {
                let (algorithm, hash) = (algorithm.clone(), hash.clone());
                return Err(HashesError::Digits { algorithm, hash });
            }
        }
        Ok(Hashes(table))
    }
}

/// The text becomes part of a file name, so it is checked even for an algorithm nobody knows.
fn is_well_formed(algorithm: &str, hash: &str) -> bool {
    let length = match algorithm {
        "sha256" => hash.len() == 64,
        "sha512" => hash.len() == 128,
        _ => (1..=256).contains(&hash.len()),
    };
    length && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl From<Hashes> for BTreeMap<String, String> {
    fn from(hashes: Hashes) -> Self {
        hashes.0
    }
}

impl Hashes {
    /// SHA-256 of these bytes.
    #[must_use]
    pub fn sha256_of(data: &[u8]) -> Hashes {
        Hashes::from_sha256(&Sha256::digest(data).into())
    }

    /// A SHA-256 computed elsewhere.
    #[must_use]
    pub fn from_sha256(digest: &[u8; 32]) -> Hashes {
        Hashes(BTreeMap::from([("sha256".to_owned(), hex::encode(digest))]))
    }

    /// The hash that stands in the file's name in a repository with consistent snapshots: SHA-256 where there is one,
    /// else SHA-512, else any.
    #[must_use]
    pub fn for_name(&self) -> &str {
        let known = ["sha256", "sha512"]
            .into_iter()
            .find_map(|algorithm| self.0.get(algorithm));
        known.or_else(|| self.0.values().next()).map_or("", String::as_str)
    }

    /// Algorithm and hash, by name of the algorithm.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(algorithm, hash)| (algorithm.as_str(), hash.as_str()))
    }

    /// Begins a check of `length` bytes against every hash whose algorithm is known.
    ///
    /// # Errors
    /// No algorithm is known.
    pub fn check(&self, length: Option<u64>) -> Result<Check, Mismatch> {
        let sha256 = self.0.get("sha256").map(|hash| (Sha256::new(), hash.clone()));
        let sha512 = self.0.get("sha512").map(|hash| (Sha512::new(), hash.clone()));
        if sha256.is_none() && sha512.is_none() {
            let algorithms = self.0.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(Mismatch::UnknownAlgorithms { algorithms });
        }
        let seen = 0;
        Ok(Check {
            length,
            seen,
            sha256,
            sha512,
        })
    }
}

/// Bytes that are not those that were signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// No hash can be checked.
    #[error("its hashes are of kinds that are not known here ({algorithms}); one of sha256 and sha512 is needed")]
    UnknownAlgorithms {
        /// Those that are there.
        algorithms: String,
    },
    /// There are more bytes than signed.
    #[error("it is longer than the {length} bytes that were signed")]
    Longer {
        /// Bytes that were signed.
        length: u64,
    },
    /// It ended early.
    #[error("it ended after {found} of the {length} bytes that were signed")]
    Shorter {
        /// Bytes that were signed.
        length: u64,
        /// Bytes that came.
        found: u64,
    },
    /// Other bytes.
    #[error("its {algorithm} is {found}, but {expected} was signed")]
    Hash {
        /// Which hash.
        algorithm: &'static str,
        /// The signed one.
        expected: String,
        /// That of the bytes.
        found: String,
    },
}

/// A check in progress: feed it all bytes in order, then finish it. Nothing of the file may be used before.
#[derive(Debug, Clone)]
pub struct Check {
    length: Option<u64>,
    seen: u64,
    sha256: Option<(Sha256, String)>,
    sha512: Option<(Sha512, String)>,
}

impl Check {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// There are more than were signed; these were not taken.
    pub fn update(&mut self, data: &[u8]) -> Result<(), Mismatch> {
        let seen = self.seen.saturating_add(data.len() as u64);
        if let Some(length) = self.length.filter(|length| seen > *length) {
            return Err(Mismatch::Longer { length });
        }
        self.seen = seen;
        if let Some((hasher, _)) = &mut self.sha256 {
            hasher.update(data);
        }
        if let Some((hasher, _)) = &mut self.sha512 {
            hasher.update(data);
        }
        Ok(())
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// All bytes are there.
    ///
    /// # Errors
    /// They are not the signed ones.
    pub fn finish(self) -> Result<(), Mismatch> {
        if let Some(length) = self.length.filter(|length| self.seen != *length) {
            let found = self.seen;
            return Err(Mismatch::Shorter { length, found });
        }
        if let Some((hasher, expected)) = self.sha256 {
            same("sha256", expected, &hasher.finalize())?;
        }
        if let Some((hasher, expected)) = self.sha512 {
            same("sha512", expected, &hasher.finalize())?;
        }
        Ok(())
    }
}

fn same(algorithm: &'static str, expected: String, digest: &[u8]) -> Result<(), Mismatch> {
    let found = hex::encode(digest);
    if found == expected {
        return Ok(());
    }
    Err(Mismatch::Hash {
        algorithm,
        expected,
        found,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(&str, &str)]) -> Result<Hashes, HashesError> {
        let entries = entries
            .iter()
            .map(|(algorithm, hash)| ((*algorithm).to_owned(), (*hash).to_owned()));
        entries.collect::<BTreeMap<_, _>>().try_into()
    }

    fn run(hashes: &Hashes, length: Option<u64>, data: &[u8]) -> Result<(), Mismatch> {
        let mut check = hashes.check(length)?;
        for chunk in data.chunks(2) {
            check.update(chunk)?;
        }
        check.finish()
    }

    #[test]
    fn only_the_signed_bytes_pass() {
        let hashes = Hashes::sha256_of(b"hello");
        assert_eq!(run(&hashes, Some(5), b"hello"), Ok(()));
        assert_eq!(run(&hashes, None, b"hello"), Ok(()));
        assert_eq!(run(&hashes, Some(5), b"hello!"), Err(Mismatch::Longer { length: 5 }));
        assert_eq!(
            run(&hashes, Some(5), b"hell"),
            Err(Mismatch::Shorter { length: 5, found: 4 })
        );
        assert!(matches!(
            run(&hashes, Some(5), b"hellO"),
            Err(Mismatch::Hash {
                algorithm: "sha256",
                ..
            })
        ));
    }

    #[test]
    fn every_known_hash_counts_and_one_must_be_known() {
        let sha256 = hex::encode(Sha256::digest(b"x"));
        let sha512 = hex::encode(Sha512::digest(b"x"));
        let both = table(&[("sha256", &sha256), ("sha512", &sha512), ("blake9", "ab")]).unwrap();
        assert_eq!(run(&both, Some(1), b"x"), Ok(()));
        assert_eq!(both.for_name(), sha256);
        let other = hex::encode(Sha512::digest(b"y"));
        let differing = table(&[("sha256", &sha256), ("sha512", &other)]).unwrap();
        assert!(matches!(
            run(&differing, Some(1), b"x"),
            Err(Mismatch::Hash {
                algorithm: "sha512",
                ..
            })
        ));
        let unknown = table(&[("blake9", "ab")]).unwrap();
        let algorithms = "blake9".to_owned();
        assert_eq!(
            run(&unknown, Some(1), b"x"),
            Err(Mismatch::UnknownAlgorithms { algorithms })
        );
    }

    #[test]
    fn what_would_be_a_path_is_no_hash() {
        let upper = hex::encode(Sha256::digest(b"x")).to_uppercase();
        for (algorithm, hash) in [
            ("blake9", "../../x"),
            ("sha256", "ab"),
            ("sha256", &upper),
            ("blake9", ""),
        ] {
            assert!(table(&[(algorithm, hash)]).is_err(), "{algorithm} {hash}");
        }
        assert_eq!(table(&[]), Err(HashesError::Empty));
    }
}
