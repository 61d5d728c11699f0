//! What guards the boot chain: Secure Boot as the firmware reports it, and the TPM with the register that the boot
//! measures into.

use serde::Serialize;

use super::Machine;

/// `EFI_GLOBAL_VARIABLE`, UEFI Specification 3.3.
const SECURE_BOOT: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Phases of the boot, as systemd-stub measures them.
const PCR_11: &str = "/sys/class/tpm/tpm0/pcr-sha256/11";
const TPM: &str = "/sys/class/tpm/tpm0";

/// The boot chain's guards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// Whether the firmware checks signatures; absent if it does not say.
    pub secure_boot: Option<bool>,
    /// Whether there is a TPM.
    pub tpm: bool,
    /// SHA-256 register 11, hexadecimal.
    pub pcr11: Option<String>,
}

impl Machine {
    /// What guards the boot chain.
    #[must_use]
    pub fn chain(&self) -> Chain {
        // Four bytes of attributes, then the value.
        let secure_boot = std::fs::read(self.path(SECURE_BOOT)).ok();
        Chain {
            secure_boot: secure_boot.and_then(|bytes| bytes.get(4).map(|value| *value == 1)),
            tpm: self.path(TPM).exists(),
            pcr11: self.text(PCR_11).map(|text| text.to_ascii_lowercase()),
        }
    }
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secure_boot = match self.secure_boot {
            Some(true) => "Secure Boot on",
            Some(false) => "Secure Boot off",
            None => "no Secure Boot",
        };
        match (&self.pcr11, self.tpm) {
            (Some(pcr), _) => write!(f, "{secure_boot}, TPM with PCR 11 {}…", pcr.get(..16).unwrap_or(pcr)),
            (None, true) => write!(f, "{secure_boot}, TPM"),
            (None, false) => write!(f, "{secure_boot}, no TPM"),
        }
    }
}
