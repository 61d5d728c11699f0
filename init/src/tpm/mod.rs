//! Measuring the phases of a boot into a TPM: two commands' worth of encoding, and no library.

pub mod command;
pub mod device;
pub mod phase;

pub use phase::{Phase, measure};
