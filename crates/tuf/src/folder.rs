//! A repository in a folder: on a USB volume, or where it was just made.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::error::FetchError;
use crate::fetch::{Body, Fetch};
use crate::location::Location;

/// Brings files from `metadata/` and `targets/` of a folder. Reads block.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

/// Bytes read at once.
const PIECE: usize = 64 << 10;

impl Folder {
    /// The repository in this folder.
    #[must_use]
    pub fn new(folder: &Path) -> Folder {
        Folder(folder.to_owned())
    }

    /// Where a file of it is.
    #[must_use]
    pub fn path(&self, location: &Location) -> PathBuf {
        let kind = match location {
            Location::Metadata(_) => "metadata",
            Location::Target(_) => "targets",
        };
        self.0.join(kind).join(location.path())
    }
}

impl Fetch for Folder {
    type Body = Rest;

    async fn open(&self, location: &Location) -> Result<Rest, FetchError> {
        match File::open(self.path(location)) {
            Ok(file) => Ok(Rest(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(FetchError::NotFound),
            Err(error) => Err(FetchError::Other(Box::new(error))),
        }
    }
}

/// The rest of a file.
#[derive(Debug)]
pub struct Rest(File);

impl Body for Rest {
    async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        let mut piece = Vec::with_capacity(PIECE);
        let read = (&mut self.0).take(PIECE as u64).read_to_end(&mut piece);
        read.map_err(|error| FetchError::Other(Box::new(error)))?;
        Ok((!piece.is_empty()).then(|| piece.into()))
    }
}
