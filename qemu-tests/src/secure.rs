//! Keys of a case's own, an image signed with them, and firmware that starts nothing else.

use std::path::PathBuf;

use anyhow::{Context, Result};
use keelson_os_build::cache::Cache;
use keelson_os_build::firmware::firmware;
use keelson_os_build::qemu::{MachineSpec, Tpm};
use keelson_os_build::secure_boot::disk::{self, Enrol};
use keelson_os_build::secure_boot::{Keys, ovmf};

use crate::disk::DiskFile;
use crate::guest::Lab;

/// Any moment will do: firmware only compares them.
const MADE: u64 = 1_700_000_000;

/// The keys of a case, and the variable store that holds them.
#[derive(Debug)]
pub struct Locked {
    keys: Keys,
    folder: PathBuf,
    code: PathBuf,
    variables: PathBuf,
}

impl Locked {
    /// Makes keys and a variable store in the lab.
    ///
    /// # Errors
    /// Keys or store cannot be made, or there is no firmware.
    pub fn new(lab: &Lab) -> Result<Locked> {
        let (folder, variables) = (lab.directory().join("keys"), lab.directory().join("enrolled.fd"));
        let keys = Keys::generate("Test")?;
        keys.store(&folder, &[], MADE)?;
        let firmware = firmware(&Cache::of_user()?)?;
        let empty = std::fs::read(&firmware.variables).context("read the empty variable store")?;
        std::fs::write(&variables, ovmf::enrolled(&empty, &folder, MADE)?)?;
        Ok(Locked {
            keys,
            folder,
            code: firmware.secure_code,
            variables,
        })
    }

    /// A signed copy of the image under test.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn disk(&self, lab: &Lab, name: &str) -> Result<DiskFile> {
        let out = lab.directory().join(format!("{name}.img"));
        disk::sign(&lab.environment().disk, &self.keys.database, &out, None)?;
        Ok(DiskFile::at(out))
    }

    /// The same, and the disk brings the keys to firmware that has none.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn disk_with_keys(&self, lab: &Lab, name: &str) -> Result<DiskFile> {
        let out = lab.directory().join(format!("{name}.img"));
        let enrol = Some((Enrol::IfSafe, self.folder.as_path()));
        disk::sign(&lab.environment().disk, &self.keys.database, &out, enrol)?;
        Ok(DiskFile::at(out))
    }

    /// Gives a machine the same firmware in setup mode: it has no keys yet.
    pub fn fit_without_keys(&self, spec: &mut MachineSpec) {
        spec.firmware_code.clone_from(&self.code);
        spec.secure = true;
    }

    /// Gives a machine the firmware that starts only what the keys signed. Its variables last over the case's boots.
    pub fn fit(&self, spec: &mut MachineSpec) {
        spec.firmware_code.clone_from(&self.code);
        spec.firmware_vars.clone_from(&self.variables);
        spec.secure = true;
    }
}

/// A TPM for one run of a machine.
///
/// # Errors
/// It does not start.
pub fn tpm(lab: &Lab) -> Result<Tpm> {
    Tpm::start(&lab.directory().join("tpm")).context("start a TPM")
}
