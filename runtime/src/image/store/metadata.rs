//! The metadata image of an image: its layers merged and written as EROFS.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use keelson_erofs::{Options, write_image};

use super::error::StoreError;
use super::staging::Staging;
use crate::image::digest::{Digest, ImageId};
use crate::image::ingest::VerityHasher;
use crate::image::merge::Merged;

/// Files in the metadata image are at most this large; the rest are objects.
const INLINE_MAX: u64 = 512;

impl Staging {
    /// Writes the metadata image of the layers, lowest first, and returns its fs-verity digest. The same
    /// layers give the same bytes under the same id.
    pub fn write_metadata(&self, id: &ImageId, diff_ids: &[Digest]) -> Result<Digest, StoreError> {
        let mut merged = Merged::default();
        for diff_id in diff_ids {
            let layer = self.open_layer(diff_id)?;
            merged.add_layer(layer).map_err(|source| StoreError::Merge {
                image: id.to_string(),
                source,
            })?;
        }
        let path = self.metadata();
        let file = File::create(&path).map_err(StoreError::io("write", &path))?;
        let mut out = Hashed {
            file: BufWriter::new(file),
            hasher: VerityHasher::default(),
        };
        write_image(&merged.into_tree(), &mut out, &options(id)).map_err(|source| StoreError::Metadata {
            image: id.to_string(),
            source,
        })?;
        // Dropped, it would keep to itself that the disk is full.
        out.flush().map_err(StoreError::io("write", &path))?;
        Ok(out.hasher.finish())
    }
}

fn options(id: &ImageId) -> Options {
    let mut uuid = [0; 16];
    for (to, from) in uuid.iter_mut().zip(id.as_bytes()) {
        *to = *from;
    }
    Options {
        uuid,
        inline_max: INLINE_MAX,
        ..Options::default()
    }
}

/// Hashes what it writes.
struct Hashed {
    file: BufWriter<File>,
    hasher: VerityHasher,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
