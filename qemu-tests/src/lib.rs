//! Whole-system tests: the shipped image, unchanged, in QEMU machines that differ only by what is plugged in and how
//! they are provisioned.
//!
//! Every wait has a deadline; a failed case keeps its machines' consoles and disks and says where.

pub mod bare;
pub mod case;
pub mod config_drive;
pub mod disk;
pub mod environment;
pub mod fetch;
pub mod flavour;
pub mod guest;
pub mod journal;
pub mod metadata;
pub mod provisioned;
pub mod registry;
pub mod secure;
pub mod segment;
pub mod ssh;
pub mod staged;
pub mod state;
pub mod wire;
pub mod write_log;

pub use case::{Case, Extent};
pub use disk::DiskFile;
pub use environment::Environment;
pub use guest::{Guest, Lab};
