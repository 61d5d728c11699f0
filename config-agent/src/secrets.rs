//! The values of secrets: kept apart from every generation, one file per value, and handed over in memory.
//!
//! `NAME.VERSION` is never written twice, so that the generation in force and the next one each find theirs.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use keelson_machine_config::{MachineConfig, Secret, SecretRef, SecretValues};

use crate::keyed::Key;
use crate::steps::Steps;

/// The directory of values.
#[derive(Debug)]
pub struct SecretStore {
    directory: PathBuf,
}

const KEY: &str = "key";
const FORMAT: &str = "format";
const FORMAT_TEXT: &[u8] = b"{\"format\":1,\"min_reader\":1}\n";
/// Digits of a version: 64 bits are plenty to tell the values of one name apart.
const VERSION_DIGITS: usize = 16;

impl SecretStore {
    /// Opens the store, making it if it is missing.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(directory: &Path) -> io::Result<Self> {
        if !directory.join(FORMAT).exists() {
            make_directory(directory)?;
            keelson_durable::replace(&directory.join(FORMAT), FORMAT_TEXT, 0o600)?;
        }
        Ok(Self {
            directory: directory.to_owned(),
        })
    }

    /// The machine's key, made on first use.
    ///
    /// # Errors
    /// It can neither be read nor written.
    pub fn key(&self) -> io::Result<Key> {
        let path = self.directory.join(KEY);
        if let Some(key) = fs::read(&path).ok().and_then(|bytes| bytes.try_into().ok()) {
            return Ok(Key::new(key));
        }
        let mut key = [0; 32];
        fill_random(&mut key)?;
        keelson_durable::replace(&path, &key, 0o600)?;
        Ok(Key::new(key))
    }

    /// Writes the versions into the configuration's references.
    pub fn stamp(config: &mut MachineConfig, values: &SecretValues, key: &Key) {
        for reference in config.secret_refs_mut() {
            if let Some(value) = values.0.get(&reference.name) {
                let digest = key.digest(&[b"secret", reference.name.as_str().as_bytes(), value.expose().as_bytes()]);
                reference.version = digest.chars().take(VERSION_DIGITS).collect();
            }
        }
    }

    /// Keeps the values that a stamped configuration refers to.
    ///
    /// # Errors
    /// A value cannot be written; those before it stay, unused.
    pub fn keep(&self, config: &MachineConfig, values: &SecretValues, steps: Steps<'_>) -> io::Result<()> {
        for reference in config.secret_refs() {
            let path = self.path(reference);
            let Some(value) = values.0.get(&reference.name) else {
                continue;
            };
            if fs::read(&path).is_ok_and(|old| old == value.expose().as_bytes()) {
                continue;
            }
            steps.ahead("keep a secret")?;
            keelson_durable::replace(&path, value.expose().as_bytes(), 0o600)?;
        }
        Ok(())
    }

    /// The value a reference stands for.
    ///
    /// # Errors
    /// It is not there or not text.
    pub fn value(&self, reference: &SecretRef) -> io::Result<Secret> {
        fs::read_to_string(self.path(reference)).map(Secret::new)
    }

    /// Whether every value that a configuration refers to is there.
    #[must_use]
    pub fn holds(&self, config: &MachineConfig) -> bool {
        config.secret_refs().all(|reference| self.path(reference).is_file())
    }

    /// Removes values that none of `configs` refers to.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn prune<'c>(&self, configs: impl IntoIterator<Item = &'c MachineConfig>, steps: Steps<'_>) -> io::Result<()> {
        let used: BTreeSet<PathBuf> = configs
            .into_iter()
            .flat_map(MachineConfig::secret_refs)
            .map(|secret| self.path(secret))
            .collect();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let own = path.file_name().is_some_and(|name| name == KEY || name == FORMAT);
            if !own && !used.contains(&path) {
                steps.ahead("remove a secret")?;
                keelson_durable::remove(&path)?;
            }
        }
        Ok(())
    }

    fn path(&self, reference: &SecretRef) -> PathBuf {
        self.directory.join(format!("{}.{}", reference.name, reference.version))
    }
}

/// Makes a private directory and those above it.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directory(parent)?;
    }
    keelson_durable::directory(path, 0o700)
}

fn fill_random(buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        let rest = buffer.get_mut(filled..).unwrap_or_default();
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(())
}
