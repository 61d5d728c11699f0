//! The facts that name a release: version, flavour, identity, time, salt, os-release. Pure.

use keelson_payload::{Version, VersionError};

use crate::digest::sha256;
use crate::flavour::Flavour;

/// What a release is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// For instance `0.1.0`.
    pub version: String,
    /// Seconds since 1970.
    pub time: u64,
    /// Kind of machine.
    pub flavour: Flavour,
}

impl Naming {
    /// Checks the version.
    ///
    /// # Errors
    /// It cannot be part of a file name, an os-release line and the slot-state record alike.
    pub fn new(version: &str, time: u64, flavour: Flavour) -> Result<Naming, VersionError> {
        let version: Version = version.parse()?;
        Ok(Naming {
            version: version.to_string(),
            time,
            flavour,
        })
    }

    /// What identities in the image are derived from.
    #[must_use]
    pub fn id(&self) -> String {
        match self.flavour {
            Flavour::Cloud => format!("keelson-{}", self.version),
            Flavour::Metal => format!("keelson-metal-{}", self.version),
        }
    }

    /// Salt of the hash tree.
    #[must_use]
    pub fn salt(&self) -> [u8; 32] {
        sha256(format!("{}/verity salt", self.id()).as_bytes())
    }

    /// Text of os-release, also in the boot entry, where the loader sorts by it.
    #[must_use]
    pub fn os_release(&self) -> String {
        let version = &self.version;
        format!(
            "NAME=Keelson\nID=keelson\nPRETTY_NAME=\"Keelson {version}\"\nVERSION_ID={version}\n\
             IMAGE_ID=keelson\nIMAGE_VERSION={version}\nVARIANT_ID={}\n",
            self.flavour
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_must_fit_everywhere_they_are_written() {
        for version in ["0.1.0", "1", "2026.11+git5~rc1-2", &"1".repeat(32)] {
            assert!(Naming::new(version, 0, Flavour::Cloud).is_ok(), "{version}");
        }
        for version in ["", "v1", "1 2", "1\n2", "1/2", "1_2", &"1".repeat(33), "1é"] {
            assert!(Naming::new(version, 0, Flavour::Cloud).is_err(), "{version}");
        }
    }

    #[test]
    fn salt_follows_the_release() {
        let salt = |version| Naming::new(version, 0, Flavour::Cloud).unwrap().salt();
        assert_eq!(salt("1"), salt("1"));
        assert_ne!(salt("1"), salt("2"));
    }
}
