//! UEFI firmware for virtual machines: OVMF from the same Debian release as the image. Three times faster in emulation
//! than the one Debian 12 has.

use std::path::PathBuf;

use thiserror::Error;

use crate::cache::Cache;
use crate::deb::{PackageError, Packages, Wanted};

/// The parts of the firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// Code, mapped read-only.
    pub code: PathBuf,
    /// Code with Secure Boot, for machines with system management mode.
    pub secure_code: PathBuf,
    /// Empty variables; every machine needs a copy of its own.
    pub variables: PathBuf,
}

/// Why there is no firmware.
#[derive(Debug, Error)]
pub enum FirmwareError {
    /// The package is not available.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The package does not have the files expected.
    #[error("package ovmf has no {path}")]
    Missing {
        /// File looked for.
        path: PathBuf,
    },
}

/// The firmware, fetched if it is not in the cache.
///
/// # Errors
/// See [`FirmwareError`].
pub fn firmware(cache: &Cache) -> Result<Firmware, FirmwareError> {
    let packages = Packages::resolve(cache, "firmware", Wanted::Exactly(&["ovmf"]), false, &|_| ())?;
    let folder = packages.unpacked(packages.find("ovmf")?)?.join("usr/share/OVMF");
    let firmware = Firmware {
        code: folder.join("OVMF_CODE_4M.fd"),
        secure_code: folder.join("OVMF_CODE_4M.secboot.fd"),
        variables: folder.join("OVMF_VARS_4M.fd"),
    };
    for path in [&firmware.code, &firmware.secure_code, &firmware.variables] {
        if !path.is_file() {
            return Err(FirmwareError::Missing { path: path.clone() });
        }
    }
    Ok(firmware)
}
