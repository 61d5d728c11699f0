//! A release onto a disk: the parts of a system disk, the survey of a machine's disks, and the order in which a disk is
//! erased, written, read back and only then given a partition table.
//!
//! Shared by the image builder, which writes files, and the program that installs on a running machine. Bytes:
//! `docs/formats/disk.md`.

pub mod decide;
pub mod esp;
pub mod fat;
mod fat_name;
pub mod install;
mod memory;
pub mod meter;
pub mod protocol;
pub mod region;
pub mod source;
pub mod survey;
pub mod table;
pub mod template;

pub use decide::{Refusal, Wish};
pub use install::{InstallError, install};
pub use keelson_image_layout::hash_tree as verity;
pub use meter::Progress;
pub use source::Source;
pub use survey::Disk;

/// Entry points for fuzzing: any bytes may come in, errors are fine, panics are bugs.
pub mod fuzz {
    use crate::{survey, template};

    /// Recognises the beginning of a disk.
    pub fn disk_content(data: &[u8]) {
        let _ = survey::recognise::recognise(data);
    }

    /// Unpacks a template of the state file system.
    pub fn state_template(data: &[u8]) {
        let _ = template::unpack(data, 1 << 30);
    }
}
