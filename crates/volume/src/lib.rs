//! Reads small FAT and ISO 9660 volumes without mounting them: no kernel file-system driver sees what a stranger wrote,
//! and no module is loaded for a look at a few names.

mod fat;
mod iso;
mod read;
mod volume;

pub use read::ReadAt;
pub use volume::{Volume, VolumeError};
