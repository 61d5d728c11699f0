//! A small read-only file system that can carry a document: what it is called, and its files.
//!
//! The device is only ever read, never mounted: no kernel file-system driver sees what a stranger wrote on it.

use std::io;

use crate::fat::Fat;
use crate::iso::Iso;
use crate::read::ReadAt;

/// A volume whose label was read.
#[derive(Debug)]
pub enum Volume<R> {
    /// FAT12, FAT16 or FAT32.
    Fat(Fat<R>),
    /// ISO 9660, with Joliet or Rock Ridge names.
    Iso(Iso<R>),
}

/// Why a file of a volume could not be read.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The device failed or is too short.
    #[error("cannot read the volume")]
    Device(#[from] io::Error),
    /// The volume contradicts itself.
    #[error("the volume is damaged: {0}")]
    Damaged(&'static str),
    /// The file exceeds the bound.
    #[error("{name} has {size} bytes, more than {limit}")]
    TooLong {
        /// The file.
        name: String,
        /// Its size.
        size: u64,
        /// The bound.
        limit: usize,
    },
}

impl<R: ReadAt> Volume<R> {
    /// Recognises a volume; `None` when the device holds neither file system.
    ///
    /// # Errors
    /// The device cannot be read.
    pub fn open(device: R) -> Result<Option<Self>, VolumeError> {
        let device = match Fat::open(device)? {
            Ok(fat) => return Ok(Some(Self::Fat(fat))),
            Err(device) => device,
        };
        Ok(Iso::open(device)?.ok().map(Self::Iso))
    }

    /// Its label, without padding.
    ///
    /// # Errors
    /// The root directory cannot be read.
    pub fn label(&self) -> Result<String, VolumeError> {
        match self {
            Self::Fat(fat) => fat.label(),
            Self::Iso(iso) => Ok(iso.label().to_owned()),
        }
    }

    /// What tells it from another volume with the same label: FAT's serial number, ISO's time of creation.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Fat(fat) => fat.id(),
            Self::Iso(iso) => iso.id().to_owned(),
        }
    }

    /// The kernel's name for the file system.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Fat(_) => "vfat",
            Self::Iso(_) => "iso9660",
        }
    }

    /// Names of what a folder holds, as they are written; `None` when there is no such folder. Only of FAT, whose folders
    /// are the only ones that are asked for.
    ///
    /// # Errors
    /// The volume is damaged.
    pub fn names(&self, path: &str) -> Result<Option<Vec<String>>, VolumeError> {
        match self {
            Self::Fat(fat) => fat.names(path),
            Self::Iso(_) => Ok(None),
        }
    }

    /// Content of a file, names compared without case; `None` when there is none. The path begins at the root directory
    /// and has `/` between its parts.
    ///
    /// # Errors
    /// It is longer than `limit`, or the volume is damaged.
    pub fn file(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, VolumeError> {
        match self {
            Self::Fat(fat) => fat.file(path, limit),
            Self::Iso(iso) => iso.file(path, limit),
        }
    }
}

/// Refuses a size beyond the bound.
pub(crate) fn bounded(name: &str, size: u64, limit: usize) -> Result<usize, VolumeError> {
    match usize::try_from(size) {
        Ok(size) if size <= limit => Ok(size),
        _ => Err(VolumeError::TooLong {
            name: name.to_owned(),
            size,
            limit,
        }),
    }
}
