//! The keys of updates as files of a folder, beside those of Secure Boot: `root-N.key`, `targets-N.key`, `online-N.key`
//! (ed25519, PKCS #8, PEM, readable by their owner only), each with its public half in `NAME.pub` (JSON as in the metadata).
//! A secret half may lie in another folder, on another machine, or on paper; the public half stays.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use keelson_tuf::{Key, KeyId, SigningKey};

/// What a key may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Duty {
    /// Who signs what, this duty included. Kept offline, by several people.
    Root,
    /// What is released. Kept offline, by several people.
    Targets,
    /// What is offered now. Lies where releases are served from.
    Online,
}

impl Duty {
    /// All of them.
    pub const ALL: [Duty; 3] = [Duty::Root, Duty::Targets, Duty::Online];

    /// Beginning of its keys' names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Duty::Root => "root",
            Duty::Targets => "targets",
            Duty::Online => "online",
        }
    }

    /// How many keys a ceremony makes, and how many of them must sign.
    #[must_use]
    pub const fn keys_and_threshold(self) -> (u32, u32) {
        match self {
            Duty::Root | Duty::Targets => (3, 2),
            Duty::Online => (1, 1),
        }
    }
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Duty {
    type Err = String;

    fn from_str(text: &str) -> Result<Duty, String> {
        let found = Duty::ALL.into_iter().find(|duty| duty.name() == text);
        found.ok_or_else(|| format!("{text:?} is no duty of a key: root, targets or online"))
    }
}

/// A folder of keys.
#[derive(Debug, Clone)]
pub struct KeyFolder {
    path: PathBuf,
}

impl KeyFolder {
    /// The keys in `path`.
    #[must_use]
    pub fn at(path: &Path) -> KeyFolder {
        KeyFolder { path: path.to_owned() }
    }

    /// Makes the keys of a ceremony in an existing folder that has none.
    ///
    /// # Errors
    /// There are keys already, or the folder cannot be written.
    pub fn create(&self) -> Result<()> {
        for duty in Duty::ALL {
            ensure!(
                self.names(duty)?.is_empty(),
                "{} has keys for {duty} already; keys are never replaced, `os-build keys add` makes another one",
                self.path.display()
            );
        }
        for duty in Duty::ALL {
            for _ in 0..duty.keys_and_threshold().0 {
                self.add(duty)?;
            }
        }
        Ok(())
    }

    /// Makes one more key and gives its name.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub fn add(&self, duty: Duty) -> Result<String> {
        let key = SigningKey::generate()?;
        let name = self.free_name(duty)?;
        let pem = key.to_pem()?;
        keelson_durable::replace(&self.path.join(format!("{name}.key")), pem.as_ref(), 0o600)?;
        self.put_public(&name, &key.public())?;
        Ok(name)
    }

    /// Takes down somebody else's public half and gives its name here.
    ///
    /// # Errors
    /// It is no public key, or there already.
    pub fn add_public(&self, duty: Duty, file: &Path) -> Result<String> {
        let key = read_public(file)?;
        let known = self.public(duty)?;
        ensure!(
            !known.values().any(|other| *other == key),
            "{} is a known key for {duty}",
            file.display()
        );
        let name = self.free_name(duty)?;
        self.put_public(&name, &key)?;
        Ok(name)
    }

    /// Public halves by name.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn public(&self, duty: Duty) -> Result<BTreeMap<String, Key>> {
        let names = self.names(duty)?.into_iter();
        names
            .map(|name| Ok((name.clone(), read_public(&self.path.join(format!("{name}.pub")))?)))
            .collect()
    }

    /// The key of a name, `root-2`.
    ///
    /// # Errors
    /// There is no such key.
    pub fn named(&self, name: &str) -> Result<Key> {
        read_public(&self.path.join(format!("{name}.pub")))
    }

    /// The secret halves that are here.
    ///
    /// # Errors
    /// A file is no key.
    pub fn secret(&self, duty: Duty) -> Result<Vec<SigningKey>> {
        let mut keys = Vec::new();
        for name in self.names(duty)? {
            let path = self.path.join(format!("{name}.key"));
            if path.exists() {
                let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                keys.push(SigningKey::from_pem(&text).with_context(|| path.display().to_string())?);
            }
        }
        Ok(keys)
    }

    /// What a key is called here; its id if it is unknown here.
    #[must_use]
    pub fn name_of(&self, id: &KeyId) -> String {
        let all = Duty::ALL
            .into_iter()
            .filter_map(|duty| self.public(duty).ok())
            .flatten();
        let mut named = all.filter(|(_, key)| key.id().as_ref() == Some(id));
        named.next().map_or_else(|| format!("key {id}"), |(name, _)| name)
    }

    /// Names of a duty's keys in the order of their numbers.
    fn names(&self, duty: Duty) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".pub"));
            numbers.extend(stem.and_then(|stem| number_of(stem, duty)));
        }
        numbers.sort_unstable();
        Ok(numbers.into_iter().map(|number| format!("{duty}-{number}")).collect())
    }

    fn free_name(&self, duty: Duty) -> Result<String> {
        let last = self
            .names(duty)?
            .last()
            .and_then(|name| number_of(name, duty))
            .unwrap_or(0);
        Ok(format!("{duty}-{}", last + 1))
    }

    fn put_public(&self, name: &str, key: &Key) -> Result<()> {
        let mut text = serde_json::to_vec(key)?;
        text.push(b'\n');
        Ok(keelson_durable::replace(
            &self.path.join(format!("{name}.pub")),
            &text,
            0o644,
        )?)
    }
}

fn number_of(name: &str, duty: Duty) -> Option<u32> {
    name.strip_prefix(duty.name())?.strip_prefix('-')?.parse().ok()
}

fn read_public(path: &Path) -> Result<Key> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let key: Key = serde_json::from_slice(&bytes).with_context(|| format!("{} is no public key", path.display()))?;
    if key.id().is_none() || key.keytype != "ed25519" {
        bail!("{} is no public key of the kind ed25519", path.display());
    }
    Ok(key)
}
