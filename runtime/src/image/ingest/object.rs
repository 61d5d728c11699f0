//! Contents of files to objects in the staging area: small ones are gathered and written at once, large
//! ones are written while they are hashed. What the store has already is not written again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::layer::{LayerError, ObjectSink};
use super::tar::TarError;
use super::verity::VerityHasher;
use crate::image::digest::Digest;

/// Up to this many bytes a file is gathered in memory.
const GATHER_MAX: u64 = 1 << 20;
const BUFFER: usize = 128 * 1024;

/// Writes objects into one directory, by hex digest.
pub struct ObjectWriter<'a> {
    staging: &'a Path,
    exists: &'a dyn Fn(&Digest) -> bool,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for ObjectWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectWriter")
            .field("staging", &self.staging)
            .finish_non_exhaustive()
    }
}

impl<'a> ObjectWriter<'a> {
    /// Objects go into `staging`, unless `exists` says that the store has them.
    pub fn new(staging: &'a Path, exists: &'a dyn Fn(&Digest) -> bool) -> Self {
        Self {
            staging,
            exists,
            buffer: Vec::new(),
        }
    }

    fn store_small(&mut self, content: &mut dyn Read, size: u64) -> Result<Digest, LayerError> {
        self.buffer.clear();
        content.take(size).read_to_end(&mut self.buffer).map_err(TarError::Io)?;
        if self.buffer.len() as u64 != size {
            return Err(TarError::Truncated.into());
        }
        let digest = VerityHasher::digest(&self.buffer);
        let path = self.path(&digest);
        if !(self.exists)(&digest) && !path.exists() {
            create(&path)
                .and_then(|mut file| file.write_all(&self.buffer))
                .map_err(LayerError::Store)?;
        }
        Ok(digest)
    }

    fn store_large(&mut self, content: &mut dyn Read, size: u64) -> Result<Digest, LayerError> {
        let temporary = self.staging.join("large");
        // One layer at a time writes here; a leftover is of an ingest that failed.
        let _ = fs::remove_file(&temporary);
        let mut file = create(&temporary).map_err(LayerError::Store)?;
        let digest = self.copy_hashed(content, size, &mut file)?;
        let path = self.path(&digest);
        let kept = if (self.exists)(&digest) || path.exists() {
            fs::remove_file(&temporary)
        } else {
            fs::rename(&temporary, &path)
        };
        kept.map_err(LayerError::Store)?;
        Ok(digest)
    }

    fn copy_hashed(&mut self, content: &mut dyn Read, size: u64, file: &mut File) -> Result<Digest, LayerError> {
        let mut hasher = VerityHasher::default();
        self.buffer.resize(BUFFER, 0);
        let mut left = size;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let (part, _) = self.buffer.split_at_mut(want);
            let count = content.read(part).map_err(TarError::Io)?;
            if count == 0 {
                return Err(TarError::Truncated.into());
            }
            let part = part.get(..count).unwrap_or_default();
            hasher.update(part);
            file.write_all(part).map_err(LayerError::Store)?;
            left -= count as u64;
        }
        Ok(hasher.finish())
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.staging.join(digest.hex())
    }
}

impl ObjectSink for ObjectWriter<'_> {
    fn store(&mut self, content: &mut dyn Read, size: u64) -> Result<Digest, LayerError> {
        if size <= GATHER_MAX {
            self.store_small(content, size)
        } else {
            self.store_large(content, size)
        }
    }
}

/// Objects are read by the kernel on behalf of overlay alone.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o400).open(path)
}
