//! The segments of a part from a repository into a slot: only those that are not there yet, each checked before it is
//! decoded and before it is written, with one segment in memory at a time. What was cut is taken up by looking at what
//! the slot holds.

pub mod plan;

use std::io::{self, Read};
use std::ops::Range;

use keelson_payload::{ApplyError, Index, Part, PartName, SEGMENT_BYTES, Segment, Window};
use keelson_slot_store::update::EntryWriter;
use keelson_slot_store::{RootWriter, UpdateError};
use thiserror::Error;

use crate::agent::Failure;
use crate::words::chain;
use plan::{Run, plan_runs};

/// Gives the bytes of one file of a release.
pub trait Repository {
    /// A range of it, as it comes; an end before that of the range is an error of whoever reads.
    ///
    /// # Errors
    /// It cannot be had.
    fn open(&mut self, range: Range<u64>) -> io::Result<Box<dyn Read + '_>>;
}

/// Gives the running release, checked block by block.
pub trait Running {
    /// A window of a part.
    ///
    /// # Errors
    /// It cannot be read, or does not match its hash.
    fn read(&self, part: PartName, window: Window) -> io::Result<Vec<u8>>;
}

/// Where a part goes.
pub trait Place {
    /// Whether these bytes are there already.
    fn holds(&self, at: u64, len: u64, sha256: &[u8; 32]) -> bool;

    /// Writes a piece.
    ///
    /// # Errors
    /// The disk's.
    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), UpdateError>;
}

impl Place for RootWriter {
    fn holds(&self, at: u64, len: u64, sha256: &[u8; 32]) -> bool {
        RootWriter::holds(self, at, len, sha256)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), UpdateError> {
        Ok(RootWriter::write(self, at, bytes)?)
    }
}

impl Place for EntryWriter<'_> {
    fn holds(&self, at: u64, len: u64, sha256: &[u8; 32]) -> bool {
        EntryWriter::holds(self, at, len, sha256)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), UpdateError> {
        EntryWriter::write(self, at, bytes)
    }
}

/// Why a part is not complete.
#[derive(Debug, Error)]
pub enum TransferError {
    /// The repository.
    #[error("segment {number} of {part} cannot be fetched")]
    Fetch {
        /// Part of the release.
        part: PartName,
        /// Segment of the part.
        number: u32,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The running release.
    #[error("the running release cannot be read for segment {number} of {part}")]
    Running {
        /// Part of the release.
        part: PartName,
        /// Segment of the part.
        number: u32,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// What was fetched gives no segment.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The slot.
    #[error(transparent)]
    Place(#[from] UpdateError),
    /// Whoever watches stopped it.
    #[error("stopped")]
    Stopped(#[source] io::Error),
}

impl TransferError {
    /// The same as the agent's reason to wait. Bytes that a server or a line changed can be fetched again; a released
    /// file that does not give what it says cannot.
    #[must_use]
    pub fn failure(&self) -> Failure {
        use keelson_payload::Cause;
        let what = chain(self);
        match self {
            TransferError::Fetch { .. } | TransferError::Stopped(_) => Failure::Network { what },
            TransferError::Running { .. } | TransferError::Place(_) => Failure::Machine { what },
            TransferError::Apply(ApplyError { cause, .. }) => match cause {
                Cause::Stored => Failure::Network { what },
                Cause::Window { .. } | Cause::Result => Failure::Machine { what },
                Cause::Frame(_) | Cause::Difference(_) | Cause::Contradiction => Failure::Unsound { what },
            },
        }
    }
}

/// Numbers of the segments that are not in their place.
#[must_use]
pub fn missing(part: &Part, place: &dyn Place) -> Vec<u32> {
    let absent = |number: &u32| {
        let digest = part.segments.get(*number as usize);
        let held = digest
            .zip(part.segment_length(*number))
            .is_some_and(|(digest, length)| {
                let at = u64::from(*number) * u64::from(SEGMENT_BYTES);
                place.holds(at, length.into(), &digest.0)
            });
        !held
    };
    let count = u32::try_from(part.segments.len()).unwrap_or(u32::MAX);
    (0..count).filter(absent).collect()
}

/// Brings the `missing` segments of a part into their place. `written` is told of the bytes of each; its error stops
/// the transfer there.
///
/// # Errors
/// [`TransferError`]; the segments before it are in their place.
pub fn transfer(
    index: &Index,
    (part, missing): (PartName, &[u32]),
    repository: &mut dyn Repository,
    running: &dyn Running,
    place: &dyn Place,
    written: &mut dyn FnMut(u64) -> io::Result<()>,
) -> Result<(), TransferError> {
    for run in plan_runs(index, part, missing) {
        bring(&run, repository, running, place, written)?;
    }
    Ok(())
}

fn bring(
    run: &Run,
    repository: &mut dyn Repository,
    running: &dyn Running,
    place: &dyn Place,
    written: &mut dyn FnMut(u64) -> io::Result<()>,
) -> Result<(), TransferError> {
    let of = |segment: &Segment| (segment.part, segment.number);
    let range = run.range();
    let mut bytes: Option<Box<dyn Read + '_>> = None;
    if let Some(first) = run.segments.first().filter(|_| !range.is_empty()) {
        let (part, number) = of(first);
        let opened = repository.open(range);
        bytes = Some(opened.map_err(|source| TransferError::Fetch { part, number, source })?);
    }
    for segment in &run.segments {
        let (part, number) = of(segment);
        let stored = read_stored(segment, &mut bytes);
        let stored = stored.map_err(|source| TransferError::Fetch { part, number, source })?;
        let window = match segment.window {
            Window { length: 0, .. } => Ok(Vec::new()),
            window => running.read(part, window),
        };
        let window = window.map_err(|source| TransferError::Running { part, number, source })?;
        let content = segment.apply(window, &stored)?;
        place.write(segment.start(), &content)?;
        written(content.len() as u64).map_err(TransferError::Stopped)?;
    }
    Ok(())
}

fn read_stored(segment: &Segment, bytes: &mut Option<Box<dyn Read + '_>>) -> io::Result<Vec<u8>> {
    let range = segment.stored();
    // The index bounds it.
    let mut stored = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
    if let Some(bytes) = bytes.as_mut().filter(|_| !range.is_empty()) {
        bytes.read_exact(&mut stored)?;
    }
    Ok(stored)
}

#[cfg(test)]
#[path = "transfer_test.rs"]
mod tests;
