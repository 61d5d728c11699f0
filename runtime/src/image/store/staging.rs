//! A pull's own directory: blobs, objects and layers that nobody else sees until they are committed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::layout::Layout;
use crate::image::digest::{Digest, ImageId};
use crate::image::ingest::{Ingested, LayerError, Limits, ObjectWriter, decoder, ingest_layer};
use crate::image::room::{Room, Watched};

/// Names the image that a pull makes, so that a cut before it has a name can be told.
pub const NEW_IMAGE: &str = "new-image";

/// The directory `staging/N`; removed when dropped.
#[derive(Debug)]
pub struct Staging {
    dir: PathBuf,
    layout: Layout,
    room: Room,
}

impl Staging {
    /// Makes the directory.
    pub fn create(layout: &Layout, room: &Room, number: u64) -> Result<Self, StoreError> {
        let staging = Self {
            dir: layout.staging().join(number.to_string()),
            layout: layout.clone(),
            room: room.clone(),
        };
        for dir in [
            staging.dir.clone(),
            staging.objects(),
            staging.layers(),
            staging.blobs(),
        ] {
            fs::create_dir(&dir).map_err(StoreError::io("make", &dir))?;
        }
        Ok(staging)
    }

    /// Objects by hex digest.
    pub fn objects(&self) -> PathBuf {
        self.dir.join("objects")
    }

    /// Split streams.
    pub fn layers(&self) -> PathBuf {
        self.dir.join("layers")
    }

    /// Downloads.
    pub fn blobs(&self) -> PathBuf {
        self.dir.join("blobs")
    }

    /// Where a download lies.
    pub fn blob(&self, blob: &Digest) -> PathBuf {
        self.blobs().join(blob.hex())
    }

    /// One split stream.
    pub fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.layers().join(format!("{}.layer", diff_id.hex()))
    }

    /// The metadata image.
    pub fn metadata(&self) -> PathBuf {
        self.dir.join("metadata.erofs")
    }

    /// The split stream of a layer, here or in the store.
    pub fn open_layer(&self, diff_id: &Digest) -> Result<File, StoreError> {
        let staged = self.layer(diff_id);
        let path = if staged.exists() {
            staged
        } else {
            self.layout.layer(diff_id)
        };
        File::open(&path).map_err(StoreError::io("open", &path))
    }

    /// Takes a layer in from a blob that was checked. `read` sees the count of compressed
    /// bytes so far and may end it.
    ///
    /// # Errors
    /// [`LayerError`]; the staging area is then good for nothing.
    pub fn ingest(
        &self,
        blob: &Path,
        diff_id: &Digest,
        read: &mut dyn FnMut(u64) -> io::Result<()>,
    ) -> Result<Ingested, LayerError> {
        let file = File::open(blob).map_err(LayerError::Store)?;
        let limits = Limits::for_blob(file.metadata().map_err(LayerError::Store)?.len());
        let counted = Counted {
            file,
            count: 0,
            seen: read,
        };
        let objects = self.objects();
        let exists = |object: &Digest| self.layout.object(object).exists();
        let mut sink = ObjectWriter::new(&objects, &exists);
        let out = File::create(self.layer(diff_id)).map_err(LayerError::Store)?;
        let tar = decoder(counted).map_err(LayerError::Store)?;
        let mut refused = None;
        let tar = Watched::new(tar, &self.room, &mut refused);
        let ingested = ingest_layer(tar, diff_id, limits, &mut sink, BufWriter::new(out));
        // The stream's error when room ran out is ours to name.
        refused.map_or(ingested, |refused| Err(LayerError::NoRoom(refused)))
    }

    /// Notes which image this pull makes.
    pub fn note_image(&self, id: &ImageId) -> Result<(), StoreError> {
        let path = self.dir.join(NEW_IMAGE);
        fs::write(&path, id.hex()).map_err(StoreError::io("write", &path))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            log::warn!(path:% = self.dir.display(), error:%; "staging area stays until the next start");
        }
    }
}

/// Tells how far a blob was read, and stops when told to.
struct Counted<'a> {
    file: File,
    count: u64,
    seen: &'a mut dyn FnMut(u64) -> io::Result<()>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.count += count as u64;
        (self.seen)(self.count)?;
        Ok(count)
    }
}
