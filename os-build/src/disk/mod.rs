//! The system disk as a file: partition table, ESP, slot-state record, roots with their hash trees, state.
//!
//! Bytes: `docs/formats/disk.md`. Nothing here needs root or a loop device.

pub mod assemble;
pub mod esp;
pub mod fat;
mod fat_name;
pub mod region;
pub mod state;
pub mod table;
