//! From `config.json` to values the runtime acts on. Everything but [`load`] is pure.

pub mod capabilities;
pub mod devices;
pub mod load;
pub mod mount_options;
pub mod mounts;
pub mod namespaces;
pub mod rlimits;
pub mod sysctl;
pub mod validate;
