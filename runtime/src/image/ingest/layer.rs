//! One layer: tar stream in, objects and a split stream out, the digest of the tar checked at the end.
//! Writes only through the [`ObjectSink`] and the output it is given.

use std::io::{self, Read, Write};

use super::path::{EntryName, PathError, parse_entry_name, parse_entry_path};
use super::split::SplitWriter;
use super::tar::{self, Entry, Kind, TarError, next_entry};
use crate::image::digest::{Digest, Hasher};
use crate::image::room::NoRoom;

/// Files up to this many bytes stay in the split stream and lie in the metadata image.
pub const INLINE_MAX: u64 = 64;
const BUFFER: usize = 128 * 1024;

/// What a layer may at most be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes of the tar.
    pub bytes: u64,
}

impl Limits {
    /// The limits for a blob of this many bytes: two million entries, and 2,048 times the blob (deflate
    /// packs at most 1,032 to one), but 64 MiB in any case.
    #[must_use]
    pub const fn for_blob(size: u64) -> Self {
        let floor = 64 << 20;
        let bytes = size.saturating_mul(2048);
        Self {
            entries: 2_000_000,
            bytes: if bytes > floor { bytes } else { floor },
        }
    }
}

/// Why a layer was refused.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The stream is no tar that we read.
    #[error("the layer is not a valid tar archive")]
    Tar(#[from] TarError),
    /// An entry's name is refused.
    #[error("the layer has an entry that is refused")]
    Path(#[from] PathError),
    /// More entries or bytes than allowed.
    #[error("the layer has more {what} than allowed ({limit})")]
    Limit {
        /// Entries or bytes.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The tar is not the one the image's configuration names.
    #[error("the layer's contents have digest {actual}, the image's configuration says {expected}")]
    DiffId {
        /// As computed.
        actual: Digest,
        /// As stated.
        expected: Digest,
    },
    /// The partition has no room left.
    #[error(transparent)]
    NoRoom(NoRoom),
    /// An object or the split stream cannot be written.
    #[error("cannot store the layer")]
    Store(#[source] io::Error),
}

/// Takes the contents of files and names them.
pub trait ObjectSink {
    /// Stores `size` bytes of `content` and returns the object's digest. Reads exactly `size` bytes.
    ///
    /// # Errors
    /// [`LayerError::Store`] for the store's failures, [`LayerError::Tar`] for those of the stream.
    fn store(&mut self, content: &mut dyn Read, size: u64) -> Result<Digest, LayerError>;
}

/// A layer that was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ingested {
    /// Digest of the tar.
    pub diff_id: Digest,
    /// Bytes of the tar.
    pub size: u64,
    /// Entries.
    pub entries: u64,
}

/// The tar stream, counted and hashed as it is read.
struct Metered<R> {
    stream: R,
    hasher: Hasher,
    bytes: u64,
    limit: u64,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        self.bytes += count as u64;
        if self.bytes > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(count)
    }
}

/// Copies whatever is read through it into the split stream.
struct Tap<'a, R, W: Write> {
    stream: &'a mut R,
    split: &'a mut SplitWriter<W>,
}

impl<R: Read, W: Write> Read for Tap<'_, R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.split.raw(buffer.get(..count).unwrap_or_default())?;
        Ok(count)
    }
}

/// Takes in a tar stream.
///
/// # Errors
/// [`LayerError`]; what went to the sink and the output is then worth nothing.
pub fn ingest_layer(
    tar: impl Read,
    expected: &Digest,
    limits: Limits,
    sink: &mut dyn ObjectSink,
    out: impl Write,
) -> Result<Ingested, LayerError> {
    let mut stream = Metered {
        stream: io::BufReader::with_capacity(BUFFER, tar),
        hasher: Hasher::default(),
        bytes: 0,
        limit: limits.bytes,
    };
    let mut split = SplitWriter::new(out).map_err(LayerError::Store)?;
    let entries = ingest_entries(&mut stream, limits, sink, &mut split)
        .map_err(|error| name_limit(error, stream.bytes, limits))?;
    drain(&mut stream, &mut split).map_err(|error| name_limit(error, stream.bytes, limits))?;
    split
        .finish()
        .and_then(|mut out| out.flush())
        .map_err(LayerError::Store)?;
    let ingested = Ingested {
        diff_id: stream.hasher.finish(),
        size: stream.bytes,
        entries,
    };
    if ingested.diff_id == *expected {
        Ok(ingested)
    } else {
        Err(LayerError::DiffId {
            actual: ingested.diff_id,
            expected: *expected,
        })
    }
}

/// The stream's error when it was cut off is ours to name.
fn name_limit(error: LayerError, bytes: u64, limits: Limits) -> LayerError {
    if bytes > limits.bytes {
        LayerError::Limit {
            what: "bytes",
            limit: limits.bytes,
        }
    } else {
        error
    }
}

fn ingest_entries<R: Read, W: Write>(
    stream: &mut Metered<R>,
    limits: Limits,
    sink: &mut dyn ObjectSink,
    split: &mut SplitWriter<W>,
) -> Result<u64, LayerError> {
    let mut entries = 0;
    while let Some(entry) = next_entry(&mut Tap { stream, split })? {
        entries += 1;
        if entries > limits.entries {
            return Err(LayerError::Limit {
                what: "entries",
                limit: limits.entries,
            });
        }
        check_names(&entry)?;
        if entry.size > INLINE_MAX {
            let object = sink.store(stream, entry.size)?;
            split.object(&object, entry.size).map_err(LayerError::Store)?;
            skip(&mut Tap { stream, split }, tar::padding(entry.size))?;
        } else {
            skip(&mut Tap { stream, split }, entry.size + tar::padding(entry.size))?;
        }
    }
    Ok(entries)
}

/// Everything that a later merge would refuse is refused before it is stored.
fn check_names(entry: &Entry) -> Result<(), LayerError> {
    if let (EntryName::Node(_), Kind::Hardlink) = (parse_entry_name(&entry.name)?, entry.kind) {
        parse_entry_path(&entry.link)?;
    }
    Ok(())
}

fn skip(stream: &mut impl Read, bytes: u64) -> Result<(), LayerError> {
    let skipped = io::copy(&mut stream.take(bytes), &mut io::sink()).map_err(TarError::Io)?;
    if skipped == bytes {
        Ok(())
    } else {
        Err(TarError::Truncated.into())
    }
}

/// What follows the end of the archive belongs to the digest and to a rebuilt tar.
fn drain<R: Read, W: Write>(stream: &mut Metered<R>, split: &mut SplitWriter<W>) -> Result<(), LayerError> {
    io::copy(&mut Tap { stream, split }, &mut io::sink()).map_err(TarError::Io)?;
    Ok(())
}
