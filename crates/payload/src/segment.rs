//! A segment of a part as it is stored in a file, and what it takes to get its content back.

use std::ops::Range;

use thiserror::Error;

use crate::bsdiff::{self, DifferenceError};
use crate::zstd::{self, FrameError};
use crate::{Digest, PartName, SEGMENT_BYTES};

/// Most bytes of a difference before compression: the segment and its steps.
pub(crate) const STREAM_BYTES: usize = SEGMENT_BYTES as usize + (1 << 20);

/// How a segment comes from its window and its stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// It is the window; nothing is stored.
    Copy,
    /// A zstd frame that may refer to the window as to bytes before its own.
    Zstd,
    /// A difference to the window (bsdiff), compressed as a zstd frame.
    Bsdiff,
}

/// A range of the same part of the earlier release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Window {
    /// First byte.
    pub start: u64,
    /// Bytes; 0 if the segment needs nothing of the earlier release.
    pub length: u32,
}

/// A segment: where its stored bytes are, what they are applied to, what comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Part it belongs to.
    pub part: PartName,
    /// Number within the part, from 0; it begins at `number * SEGMENT_BYTES`.
    pub number: u32,
    /// How it is made.
    pub method: Method,
    /// What of the earlier release it takes.
    pub window: Window,
    /// Bytes of content.
    pub length: u32,
    /// Digest of its content.
    pub digest: Digest,
    pub(crate) stored_at: u64,
    pub(crate) stored_length: u32,
    pub(crate) stored_digest: Digest,
}

/// Why a segment has no content. What was given is refused as a whole, nothing of it may be written.
#[derive(Debug, Error)]
#[error("segment {number} of {part}: {cause}")]
pub struct ApplyError {
    /// Part of the release.
    pub part: PartName,
    /// Segment of the part.
    pub number: u32,
    /// What is wrong.
    #[source]
    pub cause: Cause,
}

/// What is wrong with a segment.
#[derive(Debug, Error)]
pub enum Cause {
    /// The window has another length than the index says.
    #[error("{found} bytes of the earlier release were read, the index says {expected}")]
    Window {
        /// Bytes read.
        found: usize,
        /// Bytes said.
        expected: u32,
    },
    /// The stored bytes are not those that were released. Fetch them again, or elsewhere.
    #[error("what was fetched is not what was released")]
    Stored,
    /// The released bytes are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The released bytes are no difference.
    #[error(transparent)]
    Difference(#[from] DifferenceError),
    /// The result is not the segment: the earlier release is not the one the file was made for, or is damaged.
    #[error("the result is not what was released; the earlier release it was made from is another one or damaged")]
    Result,
    /// The result is not the segment, and nothing else took part: the released file contradicts itself.
    #[error("the released bytes give another content than the release says")]
    Contradiction,
}

impl Segment {
    /// Where its content begins in the part.
    #[must_use]
    pub fn start(&self) -> u64 {
        u64::from(self.number) * u64::from(SEGMENT_BYTES)
    }

    /// Where its stored bytes are in the file; empty for [`Method::Copy`].
    #[must_use]
    pub fn stored(&self) -> Range<u64> {
        self.stored_at..self.stored_at + u64::from(self.stored_length)
    }

    /// Whether these are its stored bytes as released.
    #[must_use]
    pub fn is_stored(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.stored_length as usize && (bytes.is_empty() || Digest::of(bytes) == self.stored_digest)
    }

    /// Whether this is its content.
    #[must_use]
    pub fn is_content(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.length as usize && Digest::of(bytes) == self.digest
    }

    /// The content, from the window of the earlier release and the stored bytes. Both are checked before they are
    /// decoded, the content before it is given. Needs at most 20 MiB besides `window` and `bytes`.
    ///
    /// # Errors
    /// See [`Cause`].
    pub fn apply(&self, window: Vec<u8>, bytes: &[u8]) -> Result<Vec<u8>, ApplyError> {
        self.content(window, bytes).map_err(|cause| ApplyError {
            part: self.part,
            number: self.number,
            cause,
        })
    }

    fn content(&self, window: Vec<u8>, bytes: &[u8]) -> Result<Vec<u8>, Cause> {
        if window.len() != self.window.length as usize {
            return Err(Cause::Window {
                found: window.len(),
                expected: self.window.length,
            });
        }
        if !self.is_stored(bytes) {
            return Err(Cause::Stored);
        }
        let length = self.length as usize;
        let content = match self.method {
            Method::Copy => window,
            Method::Zstd => zstd::decode(window, bytes, length)?,
            Method::Bsdiff => bsdiff::patch(&window, &zstd::decode(Vec::new(), bytes, STREAM_BYTES)?, length)?,
        };
        match self.window.length {
            _ if self.is_content(&content) => Ok(content),
            0 => Err(Cause::Contradiction),
            _ => Err(Cause::Result),
        }
    }
}
