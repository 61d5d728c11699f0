//! Where things lie below the store's directory. Pure.

use std::path::{Path, PathBuf};

use crate::image::digest::{Digest, ImageId};
use crate::image::merge::object_name;

/// Paths of one store.
#[derive(Debug, Clone)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// The store below `dir`.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The store's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `{"format":1,"min_reader":1}`.
    pub fn format(&self) -> PathBuf {
        self.dir.join("format")
    }

    /// Contents of files: `objects/ab/cdef…`.
    pub fn objects(&self) -> PathBuf {
        self.dir.join("objects")
    }

    /// One object.
    pub fn object(&self, object: &Digest) -> PathBuf {
        self.objects().join(object_name(object))
    }

    /// Split streams: `layers/HEX.layer`.
    pub fn layers(&self) -> PathBuf {
        self.dir.join("layers")
    }

    /// One layer's split stream.
    pub fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.layers().join(format!("{}.layer", diff_id.hex()))
    }

    /// Records, metadata images and the table of names.
    pub fn images(&self) -> PathBuf {
        self.dir.join("images")
    }

    /// An image's record; its existence is the image's.
    pub fn record(&self, id: &ImageId) -> PathBuf {
        self.images().join(format!("{}.json", id.hex()))
    }

    /// An image's metadata image.
    pub fn metadata(&self, id: &ImageId) -> PathBuf {
        self.images().join(format!("{}.erofs", id.hex()))
    }

    /// The table of names.
    pub fn names(&self) -> PathBuf {
        self.images().join("names.json")
    }

    /// What pulls are at work on; swept when the store is opened.
    pub fn staging(&self) -> PathBuf {
        self.dir.join("staging")
    }

    /// Exists while there may be something to sweep.
    pub fn sweep_note(&self) -> PathBuf {
        self.staging().join("sweep")
    }
}
