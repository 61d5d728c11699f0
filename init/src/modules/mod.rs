//! Kernel modules: which file a name or an alias means, what must be loaded before it, and loading it. Used by the
//! initramfs stage, by the system stage for the devices it finds, and by the kernel itself, which runs this program as
//! `modprobe`.
//!
//! The index files are kmod's text files (`modules.dep(5)`); no binary index, no configuration, no blacklists.

pub mod alias;
pub mod coldplug;
pub mod index;
pub mod loader;
pub mod modprobe;

pub use index::Index;
pub use loader::{LoadError, Loader};

/// The one spelling of a module's name.
#[must_use]
pub fn normal(name: &str) -> String {
    name.replace('-', "_")
}
