//! Builds the disk image of Keelson out of Debian packages and our own programs, shows what is on a disk, and runs an
//! image in QEMU. Runs on a developer's machine; nothing of it is in an image.

pub mod boot;
pub mod cache;
pub mod cpio;
pub mod deb;
pub mod demo;
pub mod digest;
pub mod disk;
pub mod firmware;
pub mod flavour;
pub mod format;
pub mod fuzz;
pub mod image;
pub mod initramfs;
pub mod inspect;
pub mod install;
pub mod kernel;
pub mod measure;
pub mod medium;
pub mod oci;
pub mod progress;
pub mod publish;
pub mod qemu;
pub mod release;
pub mod root;
pub mod sbom;
pub mod secure_boot;
pub mod serve;
pub mod tool;
pub mod uki;

pub use keelson_installer::verity;
