//! Making metadata: secret keys, and files that signers sign one after the other.

use std::fmt;

use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use serde::Serialize;
use serde_json::{Value, json};

use crate::json::{self, NotCanonical};
use crate::key::{Key, KeyId};
use crate::metadata::Role;
use crate::parse::{Envelope, ParseError, Signature};

/// The secret half of an ed25519 key. Wiped from memory when dropped.
pub struct SigningKey(ed25519_dalek::SigningKey);

/// A secret key that could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The kernel gave no random bytes.
    #[error("no random bytes for a new key: {0}")]
    Random(#[from] getrandom::Error),
    /// Not the text of a key.
    #[error("this is no ed25519 key in PKCS#8 PEM: {0}; `os-build keys` writes such files")]
    Pem(#[from] ed25519_dalek::pkcs8::Error),
}

impl SigningKey {
    /// A new key from the kernel's random bytes.
    ///
    /// # Errors
    /// The kernel gave none.
    pub fn generate() -> Result<SigningKey, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(SigningKey::from_seed(&seed))
    }

    /// The key of a 32-byte seed; the same seed gives the same key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> SigningKey {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Reads PKCS#8 PEM (RFC 5958, RFC 8410), with or without the public half.
    ///
    /// # Errors
    /// Another kind of key, or no key.
    pub fn from_pem(text: &str) -> Result<SigningKey, KeyError> {
        Ok(SigningKey(ed25519_dalek::SigningKey::from_pkcs8_pem(text)?))
    }

    /// PKCS#8 PEM. The text is wiped when dropped: write it with mode 0600 and drop it.
    ///
    /// # Errors
    /// None in practice; the encoder could say no.
    pub fn to_pem(&self) -> Result<impl AsRef<[u8]> + std::ops::Deref<Target = String>, KeyError> {
        Ok(self.0.to_pkcs8_pem(LineEnding::LF)?)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> Key {
        Key::ed25519(self.0.verifying_key().as_bytes())
    }

    /// Id of the public half.
    #[must_use]
    pub fn id(&self) -> KeyId {
        // A key without extra members always has one.
        self.public().id().unwrap_or_else(|| KeyId(String::new()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id())
    }
}

/// A metadata file that is being signed. What was signed before stays byte for byte the same value, also members this
/// reader does not know.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::num::NonZeroU64;
/// use keelson_tuf::metadata::*;
/// use keelson_tuf::{Draft, SigningKey};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (mut folder, expires) = (BTreeMap::new(), "2030-01-01T00:00:00Z".parse()?);
/// let offline = [SigningKey::generate()?, SigningKey::generate()?, SigningKey::generate()?];
/// let online = SigningKey::generate()?;
/// let one = NonZeroU64::MIN;
///
/// // Two of three sign root and targets; one online key signs snapshot, timestamp and the rollout.
/// let two_of_three = || RoleKeys::new(2, offline.iter().map(SigningKey::id));
/// let one_online = || RoleKeys::new(1, [online.id()]);
/// let root = Root {
///     spec_version: SpecVersion::default(),
///     version: one,
///     expires,
///     consistent_snapshot: true,
///     keys: offline.iter().chain([&online]).map(|key| (key.id(), key.public())).collect(),
///     roles: RootRoles { root: two_of_three()?, targets: two_of_three()?, snapshot: one_online()?, timestamp: one_online()? },
/// };
/// let mut draft = Draft::new(&root)?;
/// draft.sign(&offline[0]);
/// // … and on the next signer's machine, from the file:
/// let mut draft = Draft::read::<Root>(&draft.to_bytes())?;
/// draft.sign(&offline[1]);
/// folder.insert("1.root.json", draft.to_bytes());
///
/// let rollout = DelegatedRole {
///     name: "rollout-stable".to_owned(),
///     keys: one_online()?,
///     terminating: true,
///     paths: Paths::Patterns(vec!["rollout/stable.json".parse()?]),
/// };
/// let manifest = br#"{"format":1}"#;
/// let targets = Targets {
///     spec_version: SpecVersion::default(),
///     version: one,
///     expires,
///     targets: BTreeMap::from([("releases/cloud/1.0.0/manifest.json".to_owned(), TargetFile::describe(manifest))]),
///     delegations: Some(Delegations { keys: BTreeMap::from([(online.id(), online.public())]), roles: vec![rollout] }),
/// };
/// let mut draft = Draft::new(&targets)?;
/// draft.sign(&offline[0]);
/// draft.sign(&offline[2]);
/// folder.insert("1.targets.json", draft.to_bytes());
///
/// // The rollout is a Targets too: Draft::new(&Targets { … }), signed online, as `1.rollout-stable.json`.
///
/// let meta = BTreeMap::from([("targets.json".to_owned(), MetaFile::describe(one, &folder["1.targets.json"]))]);
/// let snapshot = Snapshot { spec_version: SpecVersion::default(), version: one, expires, meta };
/// let mut draft = Draft::new(&snapshot)?;
/// draft.sign(&online);
/// folder.insert("1.snapshot.json", draft.to_bytes());
///
/// let timestamp = Timestamp::new(one, expires, MetaFile::describe(one, &folder["1.snapshot.json"]));
/// let mut draft = Draft::new(&timestamp)?;
/// draft.sign(&online);
/// folder.insert("timestamp.json", draft.to_bytes());
/// # assert_eq!(folder.len(), 4);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Draft {
    envelope: Envelope,
}

impl Draft {
    /// Begins a file without signatures.
    ///
    /// # Errors
    /// A `custom` member that holds a fraction.
    pub fn new<R: Role + Serialize>(content: &R) -> Result<Draft, NotCanonical> {
        // Typed content always has a JSON form; a failure could only be the fraction that is looked for next.
        let signed = serde_json::to_value(content).unwrap_or(Value::Null);
        let canonical = json::canonical(&signed)?;
        let signatures = Vec::new();
        Ok(Draft {
            envelope: Envelope {
                signed,
                signatures,
                canonical,
            },
        })
    }

    /// Goes on with a file that others may have signed. The signatures are kept, not checked.
    ///
    /// # Errors
    /// The file is no metadata of role `R`.
    pub fn read<R: Role>(file: &[u8]) -> Result<Draft, ParseError> {
        let envelope = Envelope::parse(file)?;
        envelope.content::<R>()?;
        Ok(Draft { envelope })
    }

    /// What is being signed, for the signer to look at.
    ///
    /// # Errors
    /// It is no metadata of role `R`.
    pub fn content<R: Role>(&self) -> Result<R, ParseError> {
        self.envelope.content()
    }

    /// Signs; a signature that this key made before is replaced.
    pub fn sign(&mut self, key: &SigningKey) {
        let id = key.id();
        let signature = Signature {
            keyid: id.clone(),
            sig: hex::encode(key.0.sign(&self.envelope.canonical).to_bytes()),
        };
        self.envelope.signatures.retain(|other| other.keyid != id);
        self.envelope.signatures.push(signature);
    }

    /// Who signed so far.
    pub fn signers(&self) -> impl Iterator<Item = &KeyId> {
        self.envelope.signatures.iter().map(|signature| &signature.keyid)
    }

    /// The file as it is published: without white space, since every machine fetches it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let file = json!({"signatures": self.envelope.signatures, "signed": self.envelope.signed});
        let mut bytes = file.to_string().into_bytes();
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file() {
        let key = SigningKey::generate().unwrap();
        let pem = key.to_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{}", *pem);
        let again = SigningKey::from_pem(&pem).unwrap();
        assert_eq!(again.public(), key.public());
        let debug = format!("{key:?}");
        assert_eq!(debug, format!("SigningKey({})", key.id()));
    }

    /// As `openssl genpkey -algorithm ed25519` writes it: without the public half.
    #[test]
    fn keys_of_openssl_are_read() {
        let pem = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                   -----END PRIVATE KEY-----\n";
        // The seed is that of test 1 of RFC 8032, section 7.1.
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(SigningKey::from_pem(pem).unwrap().public().keyval.public, public);
        let error = SigningKey::from_pem("hello").unwrap_err().to_string();
        assert!(error.contains("PKCS#8 PEM"), "{error}");
    }
}
