//! A public SSH key as one line of an `authorized_keys` file.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{ValueError, string_serde};

/// `ALGORITHM BASE64 [COMMENT]` (RFC 4253 section 6.6), the blob's fields checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SshKey {
    algorithm: String,
    blob: String,
    comment: String,
}

const CURE: &str = "paste the whole line of the .pub file, for example \"ssh-ed25519 AAAA… name\"";

/// Algorithms accepted, with the number of fields after the name in the blob.
const ALGORITHMS: [(&str, usize); 7] = [
    ("ssh-ed25519", 1),
    ("ssh-rsa", 2),
    ("ecdsa-sha2-nistp256", 2),
    ("ecdsa-sha2-nistp384", 2),
    ("ecdsa-sha2-nistp521", 2),
    ("sk-ssh-ed25519@openssh.com", 2),
    ("sk-ecdsa-sha2-nistp256@openssh.com", 3),
];

impl SshKey {
    /// Algorithm, for example `ssh-ed25519`.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The key blob in base64.
    #[must_use]
    pub fn blob(&self) -> &str {
        &self.blob
    }

    /// Whatever followed the blob, usually `user@host`.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.comment
    }
}

impl FromStr for SshKey {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.contains("PRIVATE KEY") {
            let cure = "give the public key (.pub); treat this private key as disclosed";
            return Err(ValueError::new("this is a private key", cure));
        }
        if text.trim().contains(['\n', '\r', '\0']) {
            return Err(ValueError::new(
                "a key is one line",
                "give each key an entry of its own",
            ));
        }
        let mut words = text.trim().splitn(3, [' ', '\t']);
        let algorithm = words.next().unwrap_or_default();
        let Some((_, fields)) = ALGORITHMS.iter().find(|(name, _)| *name == algorithm) else {
            return Err(unknown_algorithm(algorithm, text));
        };
        let Some(blob) = words.next().filter(|blob| !blob.is_empty()) else {
            return Err(ValueError::new("the key's base64 part is missing", CURE));
        };
        check_blob(algorithm, *fields, blob)?;
        Ok(Self {
            algorithm: algorithm.to_owned(),
            blob: blob.to_owned(),
            comment: words.next().unwrap_or_default().trim().to_owned(),
        })
    }
}

fn unknown_algorithm(algorithm: &str, text: &str) -> ValueError {
    if algorithm == "ssh-dss" {
        return ValueError::new(
            "DSA keys are no longer accepted",
            "make a key with ssh-keygen -t ed25519",
        );
    }
    if ALGORITHMS.iter().any(|(name, _)| text.contains(name)) {
        let cure = "start with the algorithm; options before it are not supported";
        return ValueError::new("this key has options", cure);
    }
    ValueError::new("this is not a public SSH key", CURE)
}

fn check_blob(algorithm: &str, fields: usize, blob: &str) -> Result<(), ValueError> {
    let bytes = STANDARD
        .decode(blob)
        .map_err(|_| ValueError::new("the key's base64 is damaged", CURE))?;
    let damaged = || ValueError::new("the key is cut short or damaged", CURE);
    let (name, mut rest) = take_field(&bytes).ok_or_else(damaged)?;
    if name != algorithm.as_bytes() {
        let inside = String::from_utf8_lossy(name).into_owned();
        let problem = format!("the line says {algorithm} but the key inside is {inside:?}");
        return Err(ValueError::new(problem, CURE));
    }
    let mut parts = Vec::new();
    for _ in 0..fields {
        let (field, tail) = take_field(rest).ok_or_else(damaged)?;
        parts.push(field);
        rest = tail;
    }
    if !rest.is_empty() {
        return Err(damaged());
    }
    check_strength(algorithm, &parts)
}

/// `parts` are the blob's fields after the name.
fn check_strength(algorithm: &str, parts: &[&[u8]]) -> Result<(), ValueError> {
    match (algorithm, parts) {
        ("ssh-ed25519", [key]) if key.len() != 32 => Err(ValueError::new("the key is cut short or damaged", CURE)),
        ("ssh-rsa", [_, modulus]) => {
            let bits = modulus.iter().skip_while(|byte| **byte == 0).count() * 8;
            if bits >= 2048 {
                return Ok(());
            }
            let problem = format!("an RSA key of {bits} bits is too weak");
            Err(ValueError::new(
                problem,
                "use 2048 bits or more, or ssh-keygen -t ed25519",
            ))
        }
        _ => Ok(()),
    }
}

/// Splits off a field: 32-bit big-endian length, then bytes (RFC 4251 section 5).
fn take_field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}

impl fmt::Display for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, self.blob)?;
        if !self.comment.is_empty() {
            write!(f, " {}", self.comment)?;
        }
        Ok(())
    }
}

string_serde!(SshKey);
