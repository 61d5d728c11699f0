//! What a TPM's register 11 will hold when a boot entry was started: the sections as systemd's stub measures them, then
//! the phases that the system measures. A secret sealed to the value can be had by this release alone.
//!
//! Sources: systemd-stub(7), "TPM PCR notes"; UAPI "Linux TPM PCR Registry".

use sha2::digest::Digest;
use sha2::{Sha256, Sha384};
use thiserror::Error;

use crate::digest::hex;
use crate::uki;

/// The phases of a boot in order (`init/src/tpm/phase.rs`).
pub const PHASES: [&str; 3] = ["enter-initrd", "leave-initrd", "ready"];

/// The sections that are measured, in this order.
const SECTIONS: [&str; 13] = [
    ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey", ".profile",
    ".dtbauto", ".hwids",
];

/// A register's value in two banks, hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Values {
    /// SHA-256 bank.
    pub sha256: String,
    /// SHA-384 bank.
    pub sha384: String,
}

/// Why nothing can be predicted.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MeasureError {
    /// Not a boot entry.
    #[error("it is no boot entry: there is no section .linux")]
    NoEntry,
    /// A phase that no boot goes through, or not in this order.
    #[error("{path:?} is no beginning of {}", PHASES.join(":"))]
    Phases {
        /// As given.
        path: String,
    },
}

/// The beginnings of a boot that a value can be predicted for, as `--phase` takes them.
#[must_use]
pub fn paths() -> Vec<String> {
    (0..=PHASES.len())
        .map(|count| PHASES.get(..count).unwrap_or_default().join(":"))
        .collect()
}

/// The value of register 11 after the phases of `path`, separated by colons; none is before the kernel's first program.
///
/// # Errors
/// See [`MeasureError`].
pub fn predict(entry: &[u8], path: &str) -> Result<Values, MeasureError> {
    if !paths().iter().any(|known| known == path) {
        return Err(MeasureError::Phases { path: path.to_owned() });
    }
    if uki::section(entry, ".linux").is_none() {
        return Err(MeasureError::NoEntry);
    }
    Ok(Values {
        sha256: hex(&register::<Sha256>(entry, path)),
        sha384: hex(&register::<Sha384>(entry, path)),
    })
}

fn register<D: Digest>(entry: &[u8], path: &str) -> Vec<u8> {
    let mut register = Register::<D>::new();
    for name in SECTIONS {
        if let Some((bytes, size)) = uki::loaded_section(entry, name) {
            register.extend(D::digest([name.as_bytes(), b"\0"].concat()).as_slice());
            register.extend(filled_digest::<D>(bytes, size).as_slice());
        }
    }
    for phase in path.split(':').filter(|phase| !phase.is_empty()) {
        register.extend(D::digest(phase).as_slice());
    }
    register.0
}

/// The digest of `bytes` and zeros up to `size`: what lies in memory.
fn filled_digest<D: Digest>(bytes: &[u8], size: usize) -> Vec<u8> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut hasher = D::new();
    hasher.update(bytes);
    let mut left = size.saturating_sub(bytes.len());
    while left > 0 {
        let part = ZEROS.get(..left).unwrap_or(&ZEROS);
        hasher.update(part);
        left -= part.len();
    }
    hasher.finalize().to_vec()
}

/// A register of one bank.
struct Register<D>(Vec<u8>, std::marker::PhantomData<D>);

impl<D: Digest> Register<D> {
    fn new() -> Self {
        Register(vec![0; <D as Digest>::output_size()], std::marker::PhantomData)
    }

    fn extend(&mut self, digest: &[u8]) {
        self.0 = D::digest([self.0.as_slice(), digest].concat()).to_vec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_beginnings_of_a_boot_are_predicted() {
        assert_eq!(
            paths(),
            [
                "",
                "enter-initrd",
                "enter-initrd:leave-initrd",
                "enter-initrd:leave-initrd:ready"
            ]
        );
        assert_eq!(predict(b"", ""), Err(MeasureError::NoEntry));
        assert!(matches!(predict(b"", "ready"), Err(MeasureError::Phases { .. })));
    }

    #[test]
    fn zeros_in_memory_count() {
        let whole = Sha256::digest([&b"kernel"[..], &[0; 5000]].concat());
        assert_eq!(filled_digest::<Sha256>(b"kernel", 5006), whole.to_vec());
        assert_eq!(
            filled_digest::<Sha256>(b"kernel", 3),
            Sha256::digest(b"kernel").to_vec()
        );
    }

    #[test]
    fn a_register_takes_one_digest_after_the_other() {
        let mut register = Register::<Sha256>::new();
        register.extend(&Sha256::digest(b"enter-initrd"));
        let expected = Sha256::digest([&[0; 32][..], &Sha256::digest(b"enter-initrd")].concat());
        assert_eq!(register.0, expected.to_vec());
    }
}
