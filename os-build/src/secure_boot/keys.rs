//! The three key pairs of a machine owner as files of one folder: for each of `PK`, `KEK` and `db` the private key
//! (`.key`, PEM, readable by its owner only), the certificate (`.pem`, `.cer`) and what firmware enrols (`.esl`,
//! `.auth`). Documented in `docs/formats/secure-boot.md`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use der::{Decode, DecodePem, Encode, EncodePem};
use getrandom::SysRng;
use rsa::RsaPrivateKey as PrivateKey;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use rsa::rand_core::UnwrapErr;
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;
use x509_cert::Certificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{self, Builder, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};
use x509_cert::time::Validity;

use super::variables::{self, Variable};

/// What every firmware accepts; larger ones fail on some.
const BITS: usize = 2048;
/// Firmware does not look at it; people do.
const VALID_FOR: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// A private key with its certificate.
#[derive(Debug, Clone)]
pub struct Key {
    /// Who it is.
    pub certificate: Certificate,
    private: PrivateKey,
}

/// All three.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Platform key: whoever has it owns the machine.
    pub platform: Key,
    /// Key exchange key: may change `db`.
    pub exchange: Key,
    /// Signs what may start.
    pub database: Key,
}

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The folder has something in it.
    #[error("{path} exists and is not empty; keys are never overwritten: name another folder")]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file is not what its name says.
    #[error("{path} is no {what}; `os-build keys` makes a folder of keys")]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
    },
    /// Private key and certificate are of two pairs.
    #[error("{path} does not belong to the key beside it")]
    Mismatch {
        /// The certificate.
        path: PathBuf,
    },
    /// No key pair could be made.
    #[error("cannot make a key: {0}")]
    Make(String),
}

impl Key {
    /// A new pair for `subject`, an RFC 4514 name such as `CN=Example`.
    ///
    /// # Errors
    /// The name is none, or no random numbers are to be had.
    pub fn generate(subject: &str) -> Result<Key, KeyError> {
        let failed = |error: &dyn std::fmt::Display| KeyError::Make(error.to_string());
        let private = PrivateKey::new(&mut UnwrapErr(SysRng), BITS).map_err(|error| failed(&error))?;
        let name = Name::from_str(subject).map_err(|error| failed(&error))?;
        let certificate = self_signed(name, &private).map_err(|error| failed(&error))?;
        Ok(Key { certificate, private })
    }

    /// The pair called `name` in a folder.
    ///
    /// # Errors
    /// Names the file that is missing or is not what it should be.
    pub fn load(folder: &Path, name: &str) -> Result<Key, KeyError> {
        let (key, pem) = (folder.join(format!("{name}.key")), folder.join(format!("{name}.pem")));
        let private = PrivateKey::from_pkcs8_pem(&read_text(&key)?).map_err(|_| KeyError::Content {
            path: key,
            what: "private RSA key (PKCS #8, PEM)",
        })?;
        let certificate = Certificate::from_pem(read_text(&pem)?).map_err(|_| KeyError::Content {
            path: pem.clone(),
            what: "certificate (PEM)",
        })?;
        let public = SubjectPublicKeyInfo::from_key(&private.to_public_key()).ok();
        if public.as_ref() != Some(certificate.tbs_certificate().subject_public_key_info()) {
            return Err(KeyError::Mismatch { path: pem });
        }
        Ok(Key { certificate, private })
    }

    /// Signature of PKCS #1 version 1.5 over the SHA-256 of `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        use rsa::signature::{SignatureEncoding, Signer};
        SigningKey::<Sha256>::new(self.private.clone()).sign(message).to_vec()
    }

    /// The certificate as firmware takes it.
    #[must_use]
    pub fn certificate_der(&self) -> Vec<u8> {
        self.certificate.to_der().unwrap_or_default()
    }
}

impl Keys {
    /// New keys named after `owner`.
    ///
    /// # Errors
    /// See [`Key::generate`].
    pub fn generate(owner: &str) -> Result<Keys, KeyError> {
        let key = |role: &str| Key::generate(&format!("CN={owner} {role}"));
        Ok(Keys {
            platform: key("platform key")?,
            exchange: key("key exchange key")?,
            database: key("signing key")?,
        })
    }

    /// The keys of a folder.
    ///
    /// # Errors
    /// See [`Key::load`].
    pub fn load(folder: &Path) -> Result<Keys, KeyError> {
        Ok(Keys {
            platform: Key::load(folder, Variable::PlatformKey.name())?,
            exchange: Key::load(folder, Variable::ExchangeKey.name())?,
            database: Key::load(folder, Variable::Database.name())?,
        })
    }

    fn of(&self, variable: Variable) -> &Key {
        match variable {
            Variable::PlatformKey => &self.platform,
            Variable::ExchangeKey => &self.exchange,
            Variable::Database => &self.database,
        }
    }

    /// Writes everything into `folder`, which must be empty or missing. `trusted` are further certificates (DER) whose
    /// signatures firmware shall accept; `seconds` is now, since 1970.
    ///
    /// # Errors
    /// The folder is taken or a file cannot be written; then there is no folder.
    pub fn store(&self, folder: &Path, trusted: &[Vec<u8>], seconds: u64) -> Result<(), KeyError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| KeyError::File { path, source }
        };
        if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(KeyError::Taken {
                path: folder.to_owned(),
            });
        }
        let mut name = folder.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        fs::DirBuilder::new().mode(0o700).create(&part).map_err(failed(&part))?;
        let owner = Uuid::new_v4();
        let stored = Variable::ALL
            .into_iter()
            .try_for_each(|variable| self.store_one(&part, variable, owner, trusted, seconds))
            .and_then(|()| fs::rename(&part, folder).map_err(failed(folder)));
        if stored.is_err() {
            let _ = fs::remove_dir_all(&part);
        }
        stored
    }

    fn store_one(
        &self,
        folder: &Path,
        variable: Variable,
        owner: Uuid,
        trusted: &[Vec<u8>],
        seconds: u64,
    ) -> Result<(), KeyError> {
        let key = self.of(variable);
        let der = key.certificate_der();
        let failed = |error: &dyn std::fmt::Display| KeyError::Make(error.to_string());
        let mut list = variables::signature_list(owner, &der);
        if variable == Variable::Database {
            trusted
                .iter()
                .for_each(|other| list.extend(variables::signature_list(owner, other)));
        }
        let signer = self.of(variable.signed_by());
        let update = variables::update(variable, &list, signer, seconds).map_err(|error| failed(&error))?;
        let name = variable.name();
        write_pair(folder, name, key)?;
        write_new(&folder.join(format!("{name}.esl")), &list, 0o644)?;
        write_new(&folder.join(format!("{name}.auth")), &update, 0o644)
    }
}

/// Makes a further signing key in a folder of keys, `db-N`, to take the place of `db`: `.key`, `.pem` and `.cer` as there, and in
/// `.auth` a signed update that adds it to what firmware accepts. Its name.
///
/// # Errors
/// The exchange key is not in the folder, or a file cannot be written.
pub fn add_database(folder: &Path, owner: &str, seconds: u64) -> Result<String, KeyError> {
    let failed = |error: &dyn std::fmt::Display| KeyError::Make(error.to_string());
    let exchange = Key::load(folder, Variable::ExchangeKey.name())?;
    let taken = |name: &String| folder.join(format!("{name}.key")).exists();
    let name = (2..1000).map(|number| format!("db-{number}")).find(|name| !taken(name));
    let name = name.ok_or_else(|| failed(&"a folder has at most 999 signing keys"))?;
    let key = Key::generate(&format!("CN={owner} signing key {name}"))?;
    let list = variables::signature_list(Uuid::new_v4(), &key.certificate_der());
    let addition = variables::addition(Variable::Database, &list, &exchange, seconds);
    let addition = addition.map_err(|error| failed(&error))?;
    write_pair(folder, &name, &key)?;
    write_new(&folder.join(format!("{name}.auth")), &addition, 0o644)?;
    Ok(name)
}

/// A key and its certificate in both forms.
fn write_pair(folder: &Path, name: &str, key: &Key) -> Result<(), KeyError> {
    let failed = |error: &dyn std::fmt::Display| KeyError::Make(error.to_string());
    let private = key.private.to_pkcs8_pem(LineEnding::LF);
    let private = private.map_err(|error| failed(&error))?;
    let pem = key.certificate.to_pem(LineEnding::LF).map_err(|error| failed(&error))?;
    write_new(&folder.join(format!("{name}.key")), private.as_bytes(), 0o600)?;
    write_new(&folder.join(format!("{name}.pem")), pem.as_bytes(), 0o644)?;
    write_new(&folder.join(format!("{name}.cer")), &key.certificate_der(), 0o644)
}

/// A certificate in PEM or DER, as DER.
///
/// # Errors
/// The file cannot be read, or is neither.
pub fn read_certificate(path: &Path) -> Result<Vec<u8>, KeyError> {
    let bytes = fs::read(path).map_err(|source| KeyError::File {
        path: path.to_owned(),
        source,
    })?;
    let parsed = Certificate::from_pem(&bytes).or_else(|_| Certificate::from_der(&bytes));
    parsed
        .and_then(|certificate| certificate.to_der())
        .map_err(|_| KeyError::Content {
            path: path.to_owned(),
            what: "certificate (PEM or DER)",
        })
}

/// What is in a key's certificate besides its name: it may sign, and whom it issues may sign too.
struct Profile(Name);

impl BuilderProfile for Profile {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.0.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        let constraints = BasicConstraints {
            ca: true,
            path_len_constraint: None,
        };
        let usage = KeyUsage(KeyUsages::DigitalSignature | KeyUsages::KeyCertSign);
        Ok(vec![
            constraints.to_extension(tbs.subject(), &[])?,
            usage.to_extension(tbs.subject(), &[])?,
        ])
    }
}

fn self_signed(name: Name, private: &PrivateKey) -> builder::Result<Certificate> {
    let public = SubjectPublicKeyInfo::from_key(&private.to_public_key())?;
    let serial = Sha256::digest(public.to_der()?);
    // Positive and at most 20 bytes, as RFC 5280 4.1.2.2 wants it.
    let mut serial: Vec<u8> = serial.iter().copied().take(16).collect();
    serial
        .iter_mut()
        .take(1)
        .for_each(|first| *first = *first & 0x7f | 0x40);
    let builder = CertificateBuilder::new(
        Profile(name),
        SerialNumber::new(&serial)?,
        Validity::from_now(VALID_FOR)?,
        public,
    )?;
    builder.build(&SigningKey::<Sha256>::new(private.clone()))
}

fn read_text(path: &Path) -> Result<String, KeyError> {
    fs::read_to_string(path).map_err(|source| KeyError::File {
        path: path.to_owned(),
        source,
    })
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), KeyError> {
    let written = File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()));
    written.map_err(|source| KeyError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_signing_key_comes_with_an_update_that_adds_it() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("keys");
        Keys::generate("Test")
            .unwrap()
            .store(&folder, &[], 1_700_000_000)
            .unwrap();
        let names = [(); 2].map(|()| add_database(&folder, "Test", 1_700_000_001).unwrap());
        assert_eq!(names, ["db-2", "db-3"]);
        let key = Key::load(&folder, "db-2").unwrap();
        let update = fs::read(folder.join("db-2.auth")).unwrap();
        assert!(update.ends_with(&key.certificate_der()));
        // Signed over other attributes than an update that replaces: the same otherwise.
        let list = &update[update.len() - 44 - key.certificate_der().len()..];
        let exchange = Key::load(&folder, "KEK").unwrap();
        let replacing = variables::update(Variable::Database, list, &exchange, 1_700_000_001).unwrap();
        assert_eq!((replacing.len(), replacing == update), (update.len(), false));
        assert_eq!(
            variables::addition(Variable::Database, list, &exchange, 1_700_000_001).unwrap(),
            update
        );
    }
}
