//! Keys as metadata lists them, their ids, and checking a signature with one.
//!
//! A key of a kind that this reader does not know is no error: its signatures just do not count.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::json;

/// Name of a key within metadata: for keys made here the SHA-256 of its canonical JSON. Read from metadata it is only a
/// name: what counts towards a threshold is the key itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public key as it stands in root or in a delegation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// `ed25519` or `ecdsa`; anything else is kept and not used.
    pub keytype: String,
    /// `ed25519` or `ecdsa-sha2-nistp256`.
    pub scheme: String,
    /// The public half.
    pub keyval: KeyValue,
    /// Members beyond the specification; they are part of the key id.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The public half of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// ed25519: 64 hexadecimal digits; ecdsa: SubjectPublicKeyInfo in PEM.
    pub public: String,
    /// Members beyond the specification; they are part of the key id.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Key {
    /// The key with this ed25519 public half.
    #[must_use]
    pub fn ed25519(public: &[u8; 32]) -> Key {
        Key {
            keytype: "ed25519".to_owned(),
            scheme: "ed25519".to_owned(),
            keyval: KeyValue {
                public: hex::encode(public),
                extra: Map::new(),
            },
            extra: Map::new(),
        }
    }

    /// The id the specification gives this key. Nothing if `extra` holds a fraction.
    #[must_use]
    pub fn id(&self) -> Option<KeyId> {
        let value = serde_json::to_value(self).ok()?;
        let canonical = json::canonical(&value).ok()?;
        Some(KeyId(hex::encode(Sha256::digest(canonical))))
    }

    /// The key in the form that checks signatures. Nothing if it is of an unknown kind or damaged.
    pub(crate) fn verifier(&self) -> Option<Verifier> {
        match (self.keytype.as_str(), self.scheme.as_str()) {
            ("ed25519", "ed25519") => ed25519(&self.keyval.public),
            #[cfg(feature = "p256")]
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => p256(&self.keyval.public),
            _ => None,
        }
    }
}

/// A public key that was understood.
pub(crate) enum Verifier {
    Ed25519(ed25519_dalek::VerifyingKey),
    #[cfg(feature = "p256")]
    P256(p256::ecdsa::VerifyingKey),
}

impl Verifier {
    /// Whether the signature, in lower-case hexadecimal digits, is this key's over `message`.
    pub(crate) fn accepts(&self, message: &[u8], signature: &str) -> bool {
        let digits = signature.bytes().all(|byte| !byte.is_ascii_uppercase());
        let Some(signature) = digits.then(|| hex::decode(signature).ok()).flatten() else {
            return false;
        };
        match self {
            Verifier::Ed25519(key) => ed25519_dalek::Signature::from_slice(&signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            #[cfg(feature = "p256")]
            Verifier::P256(key) => {
                use p256::ecdsa::signature::Verifier as _;
                p256::ecdsa::Signature::from_der(&signature)
                    .is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
        }
    }

    /// The same for two spellings of one key, different for two keys.
    pub(crate) fn fingerprint(&self) -> Vec<u8> {
        match self {
            Verifier::Ed25519(key) => key.to_edwards().compress().to_bytes().to_vec(),
            #[cfg(feature = "p256")]
            Verifier::P256(key) => key.to_sec1_point(true).as_bytes().to_vec(),
        }
    }
}

fn ed25519(public: &str) -> Option<Verifier> {
    let bytes: [u8; 32] = hex::decode(public).ok()?.try_into().ok()?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).ok()?;
    Some(Verifier::Ed25519(key))
}

#[cfg(feature = "p256")]
fn p256(public: &str) -> Option<Verifier> {
    use p256::pkcs8::DecodePublicKey;
    let key = p256::ecdsa::VerifyingKey::from_public_key_pem(public).ok()?;
    Some(Verifier::P256(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test 2 of RFC 8032, section 7.1.
    const PUBLIC: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const SIGNATURE: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

    fn key(public: &str) -> Key {
        let bytes: Vec<u8> = hex::decode(public).unwrap();
        Key::ed25519(&bytes.try_into().unwrap())
    }

    #[test]
    fn the_signature_of_the_standard_is_accepted_and_no_other() {
        let verifier = key(PUBLIC).verifier().unwrap();
        assert!(verifier.accepts(&[0x72], SIGNATURE));
        assert!(!verifier.accepts(&[0x73], SIGNATURE));
        for bad in [
            "",
            "zz",
            "00",
            &SIGNATURE[2..],
            &SIGNATURE.to_uppercase(),
            &SIGNATURE.replace('9', "8"),
        ] {
            assert!(!verifier.accepts(&[0x72], bad), "{bad}");
        }
    }

    #[test]
    fn unknown_kinds_and_damaged_keys_are_no_verifiers() {
        let mut rsa = key(PUBLIC);
        rsa.keytype = "rsa".to_owned();
        let mut other_scheme = key(PUBLIC);
        other_scheme.scheme = "ed448".to_owned();
        let mut short = key(PUBLIC);
        short.keyval.public.truncate(62);
        assert!([rsa, other_scheme, short].iter().all(|key| key.verifier().is_none()));
    }

    /// The point of order one signs everything for everybody.
    #[test]
    fn a_weak_key_signs_nothing() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let signature = [identity, [0; 32]].concat();
        let verifier = Key::ed25519(&identity).verifier().unwrap();
        assert!(!verifier.accepts(b"anything", &hex::encode(signature)));
    }

    #[test]
    fn one_key_in_two_spellings_is_one_key() {
        let mut upper = key(PUBLIC);
        upper.keyval.public = upper.keyval.public.to_uppercase();
        assert_ne!(upper.id(), key(PUBLIC).id());
        let prints = [upper, key(PUBLIC)].map(|key| key.verifier().unwrap().fingerprint());
        assert_eq!(prints[0], prints[1]);
    }

    /// As securesystemslib computes it.
    #[test]
    fn ids_are_those_of_the_specification() {
        let mut key = key(PUBLIC);
        let before = key.id().unwrap();
        assert_eq!(
            before.0,
            "eaf1e23f6c823132f437a2eaa299a7950f7386631deff273db195bbd26209e2b"
        );
        key.extra.insert("owner".to_owned(), Value::from("anna"));
        assert_ne!(key.id().unwrap(), before);
        key.extra.insert("share".to_owned(), Value::from(0.5));
        assert_eq!(key.id(), None);
    }
}
