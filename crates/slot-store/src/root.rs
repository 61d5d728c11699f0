//! The root of the slot that does not run, and its hash tree: written in pieces, flushed, read back from the medium,
//! and only then taken for what it should be.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use keelson_image_layout::RootHash;
use keelson_image_layout::hash_tree::{hash_tree, tree_bytes};
use keelson_image_layout::verity::VerityParams;
use keelson_sys::block;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::update::{Point, Watch};

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// Why a slot was not written.
#[derive(Debug, Error)]
pub enum RootError {
    /// A partition cannot be used. One that is mapped or mounted is busy: it is never written.
    #[error("cannot {what} {path}")]
    Partition {
        /// What was being done.
        what: &'static str,
        /// The device node.
        path: PathBuf,
        /// Answer of the kernel.
        #[source]
        source: io::Error,
    },
    /// The release does not fit.
    #[error("the release needs {bytes} bytes of {path}, which has {room}")]
    TooLarge {
        /// The device node.
        path: PathBuf,
        /// Bytes it needs.
        bytes: u64,
        /// Bytes there are.
        room: u64,
    },
    /// A piece lies outside the root.
    #[error("{len} bytes at {at} lie outside the root of {bytes} bytes")]
    Outside {
        /// Where it begins.
        at: u64,
        /// Its length.
        len: u64,
        /// Length of the root.
        bytes: u64,
    },
    /// What was read back has another root hash.
    #[error(
        "the root that was written has root hash {found}, the release says {expected}: the disk is not sound, or the release is not what its description says"
    )]
    Mismatch {
        /// As signed.
        expected: RootHash,
        /// As read back.
        found: RootHash,
    },
    /// The hash tree does not read back.
    #[error("the hash tree does not read back from {path} as it was written: the disk is not sound")]
    Tree {
        /// The device node.
        path: PathBuf,
    },
    /// Whoever watches stopped it.
    #[error("stopped")]
    Stopped(#[source] io::Error),
}

/// A slot that is being written.
#[derive(Debug)]
pub struct RootWriter {
    root: Partition,
    tree: Partition,
    params: VerityParams,
}

/// A root that was read back from the medium and has the root hash its release names, its hash tree beside it. Only
/// with this in hand a boot entry is written. It keeps its claim on both partitions, so that nobody else writes there
/// before the record says that the slot is on trial.
#[derive(Debug)]
pub struct SealedRoot {
    params: VerityParams,
    _claims: [Partition; 2],
}

impl SealedRoot {
    /// What it was found to be.
    #[must_use]
    pub const fn params(&self) -> &VerityParams {
        &self.params
    }
}

#[derive(Debug)]
struct Partition {
    path: PathBuf,
    file: File,
}

impl RootWriter {
    /// Opens both partitions for themselves alone: those of the running slot are in use, and refused by the kernel.
    ///
    /// # Errors
    /// [`RootError::Partition`], [`RootError::TooLarge`].
    pub fn open(root: &Path, tree: &Path, params: VerityParams) -> Result<RootWriter, RootError> {
        let writer = RootWriter {
            root: Partition::open(root)?,
            tree: Partition::open(tree)?,
            params,
        };
        writer.root.holds_at_least(writer.params.data_bytes())?;
        writer.tree.holds_at_least(tree_bytes(writer.params.data_blocks))?;
        Ok(writer)
    }

    /// Whether `len` bytes at `at` are already those with this SHA-256.
    #[must_use]
    pub fn holds(&self, at: u64, len: u64, sha256: &[u8; 32]) -> bool {
        if self.within(at, len).is_err() {
            return false;
        }
        let (mut hasher, mut buffer) = (Sha256::new(), vec![0; CHUNK]);
        let (mut at, mut left) = (at, len);
        while left > 0 {
            let count = left.min(CHUNK as u64);
            let piece = buffer.get_mut(..count as usize).unwrap_or_default();
            if self.root.file.read_exact_at(piece, at).is_err() {
                return false;
            }
            hasher.update(piece);
            (at, left) = (at + count, left - count);
        }
        <[u8; 32]>::from(hasher.finalize()) == *sha256
    }

    /// Writes a piece of the root.
    ///
    /// # Errors
    /// [`RootError::Outside`], [`RootError::Partition`].
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<(), RootError> {
        self.within(at, bytes.len() as u64)?;
        let written = self.root.file.write_all_at(bytes, at);
        written.map_err(|source| self.root.failed("write", source))
    }

    fn within(&self, at: u64, len: u64) -> Result<(), RootError> {
        let bytes = self.params.data_bytes();
        if at.checked_add(len).is_some_and(|end| end <= bytes) {
            return Ok(());
        }
        Err(RootError::Outside { at, len, bytes })
    }

    /// Reads the root back from the medium, makes its hash tree, compares, and writes the tree, which is read back too.
    ///
    /// # Errors
    /// [`RootError::Mismatch`], [`RootError::Tree`], [`RootError::Partition`].
    pub fn seal(self, watch: Watch<'_>) -> Result<SealedRoot, RootError> {
        let mut told = |point| watch(point).map_err(RootError::Stopped);
        self.root.settle()?;
        told(Point::RootFlushed)?;
        let data = (&self.root.file).take(self.params.data_bytes());
        (&self.root.file)
            .seek(SeekFrom::Start(0))
            .map_err(|source| self.root.failed("read", source))?;
        let tree = hash_tree(&mut io::BufReader::with_capacity(CHUNK, data), self.params.salt.0)
            .map_err(|source| self.root.failed("read back", source))?;
        if tree.params != self.params {
            return Err(RootError::Mismatch {
                expected: self.params.root_hash,
                found: tree.params.root_hash,
            });
        }
        told(Point::RootReadBack)?;
        self.tree
            .file
            .write_all_at(&tree.bytes, 0)
            .map_err(|source| self.tree.failed("write", source))?;
        self.tree.settle()?;
        told(Point::TreeFlushed)?;
        let mut found = vec![0; tree.bytes.len()];
        self.tree
            .file
            .read_exact_at(&mut found, 0)
            .map_err(|source| self.tree.failed("read back", source))?;
        if found != tree.bytes {
            return Err(RootError::Tree { path: self.tree.path });
        }
        Ok(SealedRoot {
            params: tree.params,
            _claims: [self.root, self.tree],
        })
    }
}

impl Partition {
    fn open(path: &Path) -> Result<Partition, RootError> {
        let exclusively = rustix::fs::OFlags::EXCL.bits().cast_signed();
        let opened = File::options()
            .read(true)
            .write(true)
            .custom_flags(exclusively)
            .open(path);
        opened
            .map(|file| Partition {
                path: path.to_owned(),
                file,
            })
            .map_err(|source| RootError::Partition {
                what: "open",
                path: path.to_owned(),
                source,
            })
    }

    fn failed(&self, what: &'static str, source: io::Error) -> RootError {
        RootError::Partition {
            what,
            path: self.path.clone(),
            source,
        }
    }

    fn holds_at_least(&self, bytes: u64) -> Result<(), RootError> {
        let end = (&self.file).seek(SeekFrom::End(0));
        let room = end.map_err(|source| self.failed("measure", source))?;
        if room < bytes {
            let path = self.path.clone();
            return Err(RootError::TooLarge { path, bytes, room });
        }
        Ok(())
    }

    /// Everything onto the medium, nothing in memory.
    fn settle(&self) -> Result<(), RootError> {
        self.file.sync_all().map_err(|source| self.failed("flush", source))?;
        block::forget(&self.file).map_err(|source| self.failed("read past the cache of", source))
    }
}
