//! The step from bytes anybody could have written to metadata that the right people signed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use crate::key::{Key, KeyId};
use crate::metadata::{Role, RoleKeys, Root};
use crate::parse::{Envelope, ParseError};

/// A file that reads as metadata of role `R`. Who wrote it is not known; its content is only shown to whoever signs.
#[derive(Debug, Clone)]
pub struct Unverified<R> {
    content: R,
    envelope: Envelope,
    bytes: Vec<u8>,
}

/// Metadata that enough of the right keys signed. It may be expired, or not the version that is wanted: `TrustedSet`
/// decides that.
#[derive(Debug, Clone)]
pub struct Verified<R> {
    content: R,
    bytes: Vec<u8>,
}

/// Not enough of the role's keys signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{good} of its signatures are by distinct keys of the role, {threshold} are needed; publish it signed by more signers"
)]
pub struct TooFewSignatures {
    /// Distinct keys whose signature is right.
    pub good: usize,
    /// How many it takes.
    pub threshold: u32,
}

impl<R: Role> Unverified<R> {
    /// Reads a file.
    ///
    /// # Errors
    /// It is no metadata of this role.
    pub fn parse(file: impl Into<Vec<u8>>) -> Result<Unverified<R>, ParseError> {
        let bytes = file.into();
        let envelope = Envelope::parse(&bytes)?;
        let content = envelope.content()?;
        Ok(Unverified {
            content,
            envelope,
            bytes,
        })
    }

    /// Trusts the file if `role.threshold()` distinct ones of the role's keys signed it. Signatures of other keys, and
    /// wrong ones beside enough right ones, do no harm.
    ///
    /// # Errors
    /// Too few signatures.
    pub fn verify(self, keys: &BTreeMap<KeyId, Key>, role: &RoleKeys) -> Result<Verified<R>, TooFewSignatures> {
        self.check(keys, role)?;
        let Unverified { content, bytes, .. } = self;
        Ok(Verified { content, bytes })
    }

    fn check(&self, keys: &BTreeMap<KeyId, Key>, role: &RoleKeys) -> Result<(), TooFewSignatures> {
        let good = self.signers(keys, role).len();
        let threshold = role.threshold();
        match u32::try_from(good).is_ok_and(|good| good >= threshold) {
            true => Ok(()),
            false => Err(TooFewSignatures { good, threshold }),
        }
    }

    /// Distinct keys of the role whose signature is right: keys, not key ids, since two ids may name one key.
    fn signers(&self, keys: &BTreeMap<KeyId, Key>, role: &RoleKeys) -> BTreeSet<Vec<u8>> {
        let signature_of = |id: &KeyId| self.envelope.signatures.iter().find(|signature| signature.keyid == *id);
        let good = role.keyids().iter().filter_map(|id| {
            let verifier = keys.get(id)?.verifier()?;
            let signature = signature_of(id)?;
            let accepted = verifier.accepts(&self.envelope.canonical, &signature.sig);
            accepted.then(|| verifier.fingerprint())
        });
        good.collect()
    }
}

impl Unverified<Root> {
    /// Trusts a root that was handed over by other means, if it is whole: its own keys signed it.
    ///
    /// # Errors
    /// Too few signatures.
    pub fn verify_first(self) -> Result<Verified<Root>, TooFewSignatures> {
        self.check(&self.content.keys, &self.content.roles.root)?;
        let Unverified { content, bytes, .. } = self;
        Ok(Verified { content, bytes })
    }

    /// Trusts a root that both the root before it and itself agree to.
    ///
    /// # Errors
    /// Too few signatures of one of them.
    pub fn verify_next(self, previous: &Verified<Root>) -> Result<Verified<Root>, TooFewSignatures> {
        self.check(&previous.keys, &previous.roles.root)?;
        self.verify_first()
    }
}

impl<R> Verified<R> {
    /// The file, byte for byte as it came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<R> Deref for Verified<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{MetaFile, Timestamp, Version};
    use crate::{Draft, SigningKey};

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn table(keys: &[SigningKey]) -> BTreeMap<KeyId, Key> {
        keys.iter().map(|key| (key.id(), key.public())).collect()
    }

    fn timestamp() -> Timestamp {
        let expires = "2030-01-01T00:00:00Z".parse().unwrap();
        Timestamp::new(Version::MIN, expires, MetaFile::describe(Version::MIN, b"x"))
    }

    fn signed(keys: &[SigningKey]) -> Vec<u8> {
        let mut draft = Draft::new(&timestamp()).unwrap();
        keys.iter().for_each(|key| draft.sign(key));
        draft.to_bytes()
    }

    fn check(file: &[u8], keys: &BTreeMap<KeyId, Key>, role: &RoleKeys) -> Result<(), TooFewSignatures> {
        Unverified::<Timestamp>::parse(file)
            .unwrap()
            .verify(keys, role)
            .map(drop)
    }

    #[test]
    fn it_takes_the_threshold_of_the_roles_own_keys() {
        let keys = [key(1), key(2), key(3)];
        let table = table(&keys);
        let role = RoleKeys::new(2, keys.iter().map(SigningKey::id)).unwrap();
        let too_few = |good| Err(TooFewSignatures { good, threshold: 2 });
        assert_eq!(check(&signed(&[key(1), key(3)]), &table, &role), Ok(()));
        assert_eq!(check(&signed(&[key(9), key(3), key(8), key(1)]), &table, &role), Ok(()));
        assert_eq!(check(&signed(&[key(1), key(9)]), &table, &role), too_few(1));
        assert_eq!(check(&signed(&[key(1), key(1)]), &table, &role), too_few(1));
        assert_eq!(check(&signed(&[]), &table, &role), too_few(0));
        let nobody = RoleKeys::new(2, []).unwrap();
        assert_eq!(check(&signed(&keys), &table, &nobody), too_few(0));
        assert_eq!(check(&signed(&keys), &BTreeMap::new(), &role), too_few(0));
    }

    #[test]
    fn one_key_under_two_ids_counts_once() {
        let signer = key(1);
        let alias = KeyId("alias".to_owned());
        let table = BTreeMap::from([(signer.id(), signer.public()), (alias.clone(), signer.public())]);
        let role = RoleKeys::new(2, [signer.id(), alias.clone()]).unwrap();
        let text = String::from_utf8(signed(&[signer])).unwrap();
        let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut second = file["signatures"][0].clone();
        second["keyid"] = alias.0.into();
        file["signatures"].as_array_mut().unwrap().push(second);
        let result = check(file.to_string().as_bytes(), &table, &role);
        assert_eq!(result, Err(TooFewSignatures { good: 1, threshold: 2 }));
    }

    #[test]
    fn a_wrong_signature_beside_enough_right_ones_does_no_harm() {
        let keys = [key(1), key(2)];
        let role = RoleKeys::new(1, keys.iter().map(SigningKey::id)).unwrap();
        let mut file: serde_json::Value = serde_json::from_slice(&signed(&keys)).unwrap();
        for wrong in ["", "no digits", &"00".repeat(64)] {
            file["signatures"][0]["sig"] = wrong.into();
            assert_eq!(
                check(file.to_string().as_bytes(), &table(&keys), &role),
                Ok(()),
                "{wrong}"
            );
        }
    }

    #[test]
    fn no_file_with_one_other_bit_passes() {
        let keys = [key(1)];
        let role = RoleKeys::new(1, [keys[0].id()]).unwrap();
        let file = signed(&keys);
        for bit in 0..file.len() * 8 {
            let mut changed = file.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let unverified = Unverified::<Timestamp>::parse(changed).ok();
            let verified = unverified.and_then(|unverified| unverified.verify(&table(&keys), &role).ok());
            assert!(
                verified.is_none(),
                "byte {} {:?} bit {}",
                bit / 8,
                file[bit / 8] as char,
                bit % 8
            );
        }
    }
}
