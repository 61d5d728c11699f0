//! `--secure`: the image signed with keys of this user's, firmware that starts nothing else, and a TPM. The keys are made
//! once and stay in the cache; they are for trying out, and for nothing that matters.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::cache::Cache;
use crate::firmware::firmware;
use crate::progress::Progress;
use crate::qemu::{MachineSpec, Tpm};
use crate::secure_boot::{Keys, disk, ovmf};

/// What a locked machine is started with. The TPM ends with it.
#[derive(Debug)]
pub struct Lock {
    disk: PathBuf,
    code: PathBuf,
    variables: PathBuf,
    tpm: Tpm,
}

impl Lock {
    /// Signs a copy of the image and starts the TPM.
    ///
    /// # Errors
    /// Keys, copy or TPM cannot be made.
    pub fn new(cache: &Cache, image: &Path, folder: &Path, progress: Progress) -> Result<Lock> {
        let step = progress.step("signatures");
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        let folder_of_keys = cache.folder("secure-boot")?.join("keys");
        if !folder_of_keys.exists() {
            Keys::generate("Keelson trial")?.store(&folder_of_keys, &[], now)?;
        }
        let keys = Keys::load(&folder_of_keys)?;
        let lock = Lock {
            disk: folder.join("signed.img"),
            code: firmware(cache).context("firmware")?.secure_code,
            variables: folder.join("enrolled.fd"),
            tpm: Tpm::start(&folder.join("tpm"))?,
        };
        disk::sign(image, &keys.database, &lock.disk, None)?;
        let empty = firmware(cache).context("firmware")?.variables;
        let empty = std::fs::read(&empty).with_context(|| format!("cannot read {}", empty.display()))?;
        std::fs::write(&lock.variables, ovmf::enrolled(&empty, &folder_of_keys, now)?)?;
        step.done(&format!("by {}", folder_of_keys.display()));
        Ok(lock)
    }

    /// The signed image.
    #[must_use]
    pub fn disk(&self) -> &PathBuf {
        &self.disk
    }

    /// Gives a machine firmware and TPM.
    pub fn fit(&self, spec: &mut MachineSpec) {
        spec.firmware_code.clone_from(&self.code);
        spec.firmware_vars.clone_from(&self.variables);
        spec.secure = true;
        spec.tpm = Some(self.tpm.socket().to_owned());
    }
}
