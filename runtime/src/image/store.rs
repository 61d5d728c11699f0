//! stub
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::digest::{Digest, ImageId};
use super::record::ImageRecord;
use super::reference::Reference;

/// Why the store cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("cannot {step} {path}", path = path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No such image.
    #[error("No such image: {name}")]
    NoSuchImage {
        /// As given.
        name: String,
    },
}

/// What a removal did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    /// Familiar names that are gone.
    pub untagged: Vec<String>,
    /// The image, if it is gone too.
    pub deleted: Option<ImageId>,
}

/// The images on the state partition. Shared by reference; methods are blocking and short but for
/// removals, which delete file by file.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// Opens the store below `dir` (`/state/containers`), making it if missing; sweeps away what a cut
    /// left half-done.
    ///
    /// # Errors
    /// [`StoreError`]; a store of a newer format is refused.
    pub fn open(dir: &Path) -> Result<Arc<Self>, StoreError> {
        Ok(Arc::new(Self { dir: dir.to_owned() }))
    }

    /// All images, by id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn images(&self) -> Result<Vec<ImageRecord>, StoreError> {
        let _ = &self.dir;
        todo!()
    }

    /// Finds an image by name, by name and digest, by full id, or by a unique prefix of the id.
    ///
    /// # Errors
    /// [`StoreError::NoSuchImage`].
    pub fn image(&self, name: &str) -> Result<ImageRecord, StoreError> {
        let _ = name;
        todo!()
    }

    /// Gives an image one more name, taking it from the image that had it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tag(&self, id: &ImageId, reference: &Reference) -> Result<(), StoreError> {
        let _ = (id, reference);
        todo!()
    }

    /// Removes one name; the image goes with its last one, and its files when no other image needs
    /// them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn untag(&self, reference: &Reference) -> Result<Removed, StoreError> {
        let _ = reference;
        todo!()
    }

    /// Removes an image with all its names. Whether it is in use is the caller's to know.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove(&self, id: &ImageId) -> Result<Removed, StoreError> {
        let _ = id;
        todo!()
    }

    /// Where the object of a digest lies.
    #[must_use]
    pub fn object_path(&self, object: &Digest) -> PathBuf {
        let _ = object;
        self.dir.join("objects")
    }
}
