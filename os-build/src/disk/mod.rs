//! The system disk as a file: partition table, ESP, slot-state record, roots with their hash trees, state. Most of it is
//! shared with the program that installs on a machine.
//!
//! Bytes: `docs/formats/disk.md`. Nothing here needs root or a loop device.

pub mod assemble;
pub mod state;

pub use keelson_installer::{esp, fat, region, table, template};
