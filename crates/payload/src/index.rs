//! The index that a file with segments begins with: which segments it has, how each is made, and where its bytes are.
//!
//! 16 bytes of head, then 56 per segment, little-endian; the stored bytes follow in the same order without gaps.

use thiserror::Error;

use crate::segment::{Method, Segment, Window};
use crate::{Digest, Manifest, PartName, Patch, PayloadFile, STORED_BYTES, WINDOW_BYTES};

/// What a file begins with.
pub const MAGIC: [u8; 8] = *b"KEELSEG\0";
/// The format written here.
pub const FORMAT: u16 = 1;
/// Bytes before the first entry.
pub const HEAD_BYTES: usize = 16;
/// Bytes per entry.
pub const ENTRY_BYTES: usize = 56;

/// What is in a file, checked against the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    segments: Vec<Segment>,
}

/// An entry as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Part of the release.
    pub part: PartName,
    /// Number of the segment in the part.
    pub number: u32,
    /// How it is made.
    pub method: Method,
    /// What of the earlier release it takes.
    pub window: Window,
    /// Bytes stored.
    pub stored_length: u32,
    /// Their digest; zeros if there are none.
    pub stored_digest: Digest,
}

/// Why an index is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IndexError {
    /// Not the bytes that were released. Fetch them again, or elsewhere.
    #[error("the index is not the one that was released")]
    Digest,
    /// Not an index.
    #[error("the file begins with no index: {0}")]
    Head(&'static str),
    /// Made for a newer update agent.
    #[error("the file needs a reader of format {min_reader}, this one reads {FORMAT}")]
    TooNew {
        /// Format it needs.
        min_reader: u16,
    },
    /// An entry that cannot be.
    #[error("entry {number} of the index: {problem}")]
    Entry {
        /// Which, from 0.
        number: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Segments are missing at the end, or the file is longer or shorter than its segments.
    #[error("the index does not fit its file: {0}")]
    File(&'static str),
}

impl Index {
    /// The index of the file with all of a part; `bytes` are the first [`PayloadFile::index_length`] of it.
    ///
    /// # Errors
    /// See [`IndexError`].
    pub fn of_full(bytes: &[u8], manifest: &Manifest, part: PartName) -> Result<Index, IndexError> {
        Index::read(bytes, manifest, &manifest.part(part).full, &[(part, 0)])
    }

    /// The index of a patch of this manifest.
    ///
    /// # Errors
    /// See [`IndexError`].
    pub fn of_patch(bytes: &[u8], manifest: &Manifest, patch: &Patch) -> Result<Index, IndexError> {
        let sources = [
            (PartName::Root, patch.from.root_length),
            (PartName::Boot, patch.from.boot_length),
        ];
        Index::read(bytes, manifest, &patch.file, &sources)
    }

    /// The segments in the order of the file, which is that of the parts.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// `sources`: the parts that the file has, each with the length of its earlier release (0: there is none).
    fn read(
        bytes: &[u8],
        manifest: &Manifest,
        file: &PayloadFile,
        sources: &[(PartName, u64)],
    ) -> Result<Index, IndexError> {
        if bytes.len() != file.index_length as usize || Digest::of(bytes) != file.index_sha256 {
            return Err(IndexError::Digest);
        }
        let entries = parse_entries(bytes)?;
        let mut expected = sources.iter().flat_map(|(part, source)| {
            let segments = manifest.part(*part).segments.iter();
            segments
                .zip(0..)
                .map(move |(digest, number)| (*part, *source, number, *digest))
        });
        let mut stored_at = u64::from(file.index_length);
        let mut segments = Vec::with_capacity(entries.len());
        for (number, entry) in entries.iter().enumerate() {
            let wrong = |problem| IndexError::Entry { number, problem };
            let (part, source, segment, digest) = expected.next().ok_or(wrong("is one too many"))?;
            if (entry.part, entry.number) != (part, segment) {
                return Err(wrong("is of another segment than comes next"));
            }
            let length = manifest
                .part(part)
                .segment_length(segment)
                .ok_or(wrong("is behind its part"))?;
            check_entry(entry, length, source).map_err(wrong)?;
            segments.push(Segment {
                part,
                number: segment,
                method: entry.method,
                window: entry.window,
                length,
                digest,
                stored_at,
                stored_length: entry.stored_length,
                stored_digest: entry.stored_digest,
            });
            stored_at += u64::from(entry.stored_length);
        }
        if expected.next().is_some() {
            return Err(IndexError::File("segments are missing"));
        }
        if stored_at != file.length {
            return Err(IndexError::File("its segments take another length"));
        }
        Ok(Index { segments })
    }
}

fn check_entry(entry: &Entry, length: u32, source: u64) -> Result<(), &'static str> {
    let window = entry.window;
    let end = window.start.checked_add(window.length.into());
    if window.length > WINDOW_BYTES || end.is_none_or(|end| end > source) {
        return Err("has a window outside the earlier release");
    }
    if window.length == 0 && (window.start != 0 || entry.method != Method::Zstd) {
        return Err("has no window, but a method that needs one");
    }
    if entry.method == Method::Copy {
        let empty = entry.stored_length == 0 && entry.stored_digest == Digest([0; 32]);
        return if window.length == length && empty {
            Ok(())
        } else {
            Err("is a copy, but not of a segment's length, or something is stored")
        };
    }
    if (1..=STORED_BYTES).contains(&entry.stored_length) {
        Ok(())
    } else {
        Err("has no length that a segment can be stored in")
    }
}

/// The bytes of an index with these entries.
#[must_use]
pub fn write_entries(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + entries.len() * ENTRY_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend(u32::try_from(entries.len()).unwrap_or(u32::MAX).to_le_bytes());
    for entry in entries {
        bytes.extend([part_code(entry.part), method_code(entry.method), 0, 0]);
        bytes.extend(entry.number.to_le_bytes());
        bytes.extend(entry.window.start.to_le_bytes());
        bytes.extend(entry.window.length.to_le_bytes());
        bytes.extend(entry.stored_length.to_le_bytes());
        bytes.extend(entry.stored_digest.0);
    }
    bytes
}

/// The entries of an index, each by itself.
///
/// # Errors
/// See [`IndexError`].
pub fn parse_entries(bytes: &[u8]) -> Result<Vec<Entry>, IndexError> {
    let mut fields = Fields(bytes);
    if fields.take::<8>() != Some(MAGIC) {
        return Err(IndexError::Head("other first bytes"));
    }
    let short = IndexError::Head("it ends within its head");
    let _format = fields.take::<2>().ok_or(short.clone())?;
    let min_reader = u16::from_le_bytes(fields.take().ok_or(short.clone())?);
    if min_reader > FORMAT {
        return Err(IndexError::TooNew { min_reader });
    }
    let count = u32::from_le_bytes(fields.take().ok_or(short)?) as usize;
    if count.checked_mul(ENTRY_BYTES) != Some(fields.0.len()) {
        return Err(IndexError::Head("its length is not that of its entries"));
    }
    (0..count)
        .map(|number| {
            let problem = "has an unknown part or method, or something where zeros belong";
            parse_entry(&mut fields).ok_or(IndexError::Entry { number, problem })
        })
        .collect()
}

fn parse_entry(fields: &mut Fields<'_>) -> Option<Entry> {
    let [part, method, 0, 0] = fields.take()? else {
        return None;
    };
    Some(Entry {
        part: PartName::ALL.into_iter().find(|name| part_code(*name) == part)?,
        method: [Method::Copy, Method::Zstd, Method::Bsdiff]
            .into_iter()
            .find(|known| method_code(*known) == method)?,
        number: u32::from_le_bytes(fields.take()?),
        window: Window {
            start: u64::from_le_bytes(fields.take()?),
            length: u32::from_le_bytes(fields.take()?),
        },
        stored_length: u32::from_le_bytes(fields.take()?),
        stored_digest: Digest(fields.take()?),
    })
}

const fn part_code(part: PartName) -> u8 {
    match part {
        PartName::Root => 0,
        PartName::Boot => 1,
        PartName::Loader => 2,
    }
}

const fn method_code(method: Method) -> u8 {
    match method {
        Method::Copy => 0,
        Method::Zstd => 1,
        Method::Bsdiff => 2,
    }
}

/// What is left to read.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        let (taken, rest) = self.0.split_first_chunk::<COUNT>()?;
        self.0 = rest;
        Some(*taken)
    }
}
