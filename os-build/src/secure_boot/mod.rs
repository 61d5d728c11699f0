//! Secure Boot with keys of one's own: making them, signing what firmware starts, and putting the keys where firmware
//! takes them from.
//!
//! ```text
//! PK signs KEK, KEK signs db, db signs boot loader and boot entries
//! ```
//!
//! Signing is a step of its own behind the build: what is reproducible is the unsigned image. Signatures carry no time,
//! so the same image and keys give the same bytes.

pub mod authenticode;
pub mod disk;
pub mod keys;
pub mod ovmf;
pub mod signed_data;
pub mod variables;

pub use keys::{Key, Keys};
