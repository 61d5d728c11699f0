//! The key by which clients know this machine: made once, on the state partition, never replaced by itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{Algorithm, HashAlg, PrivateKey};
use rustix::rand::{GetRandomFlags, getrandom};
use thiserror::Error;

/// Why there is no key.
#[derive(Debug, Error)]
pub enum HostKeyError {
    /// The file is there and cannot be read.
    #[error("cannot read the ssh host key {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is there and holds no key.
    #[error(
        "the ssh host key {path} is damaged ({reason}). It stays as it is, since with another one every client would \
         take this machine for a stranger; put the file back from a copy, or remove it to get a new key"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A new key cannot be kept.
    #[error("cannot keep a new ssh host key: {0}")]
    Unwritable(io::Error),
    /// The kernel gives no random bytes.
    #[error("cannot get random bytes for an ssh host key: {0}")]
    Random(rustix::io::Errno),
}

/// The key of this machine; made if there is none.
///
/// # Errors
/// See [`HostKeyError`].
pub fn load_or_make(path: &Path) -> Result<PrivateKey, HostKeyError> {
    match fs::read(path) {
        Ok(bytes) => parse(&bytes).map_err(|reason| HostKeyError::Damaged {
            path: path.to_owned(),
            reason,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
        Err(source) => Err(HostKeyError::Unreadable {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The line of `ssh-keygen -l` that names a key: `SHA256:…`.
#[must_use]
pub fn fingerprint(key: &PrivateKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn parse(bytes: &[u8]) -> Result<PrivateKey, String> {
    let key = PrivateKey::from_openssh(bytes).map_err(|error| error.to_string())?;
    if key.is_encrypted() {
        return Err("it is encrypted".to_owned());
    }
    match key.algorithm() {
        Algorithm::Ed25519 => Ok(key),
        other => Err(format!("it is of the kind {other}")),
    }
}

fn make(path: &Path) -> Result<PrivateKey, HostKeyError> {
    let pair = Ed25519Keypair::from_seed(&random_seed()?);
    let (key, text) = PrivateKey::new(KeypairData::Ed25519(pair), "")
        .and_then(|key| key.to_openssh(LineEnding::LF).map(|text| (key, text)))
        .map_err(|error| HostKeyError::Unwritable(io::Error::other(error)))?;
    keelson_durable::replace(path, text.as_bytes(), 0o600).map_err(HostKeyError::Unwritable)?;
    log::info!(path:% = path.display(), key = fingerprint(&key).as_str(); "ssh host key made");
    Ok(key)
}

/// Waits until the kernel's generator has been seeded.
fn random_seed() -> Result<[u8; 32], HostKeyError> {
    let mut seed = [0; 32];
    let mut filled = 0;
    while let Some(rest) = seed.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match getrandom(rest, GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(HostKeyError::Random(errno)),
        }
    }
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ed25519");
        let made = load_or_make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fingerprint(&load_or_make(&path).unwrap()), fingerprint(&made));
        assert_ne!(
            fingerprint(&load_or_make(&directory.path().join("other")).unwrap()),
            fingerprint(&made)
        );
    }

    #[test]
    fn a_damaged_key_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ed25519");
        load_or_make(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[120] ^= 1;
        for damaged in [b"".as_slice(), b"nonsense", &whole[..whole.len() / 2], &flipped] {
            fs::write(&path, damaged).unwrap();
            let error = load_or_make(&path).unwrap_err();
            assert!(matches!(error, HostKeyError::Damaged { .. }), "{error}");
            assert_eq!(fs::read(&path).unwrap(), damaged);
        }
    }
}
