//! Why nothing was updated: which file, what is wrong with it, what to do about it.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::hashes::Mismatch;
use crate::metadata::Version;
use crate::parse::ParseError;
use crate::verify::TooFewSignatures;

/// What ended a run. What had been accepted before stays accepted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No judgement on expiry is possible yet.
    #[error("waits for the time: the clock is not synchronised, so nobody can say what has expired")]
    WaitsForTime,
    /// A file of the repository was not believed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A file could not be had.
    #[error("{file} could not be fetched: {source}")]
    Fetch {
        /// Its name.
        file: String,
        /// Why.
        source: FetchError,
    },
    /// The store of trusted metadata failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Root after root.
    #[error("the repository offers more than {limit} new roots; those are kept, and the next run goes on from there")]
    ManyRoots {
        /// How many were taken.
        limit: u32,
    },
    /// Delegation after delegation.
    #[error(
        "looking for {target:?} leads through more than {limit} delegated roles, or too deep; delegate in fewer steps"
    )]
    ManyDelegations {
        /// The name looked for.
        target: String,
        /// How many may be asked.
        limit: usize,
    },
    /// A name that would leave the repository.
    #[error("{target:?} is no name of a target: a relative path without empty parts and without . and ..")]
    TargetName {
        /// As asked for.
        target: String,
    },
    /// A target that was to be held in memory.
    #[error("{target} has {length} bytes, more than the {limit} its reader takes")]
    LongTarget {
        /// Its name.
        target: String,
        /// Bytes that were signed.
        length: u64,
        /// Bytes that may be.
        limit: u64,
    },
    /// What was downloaded could not be written where the caller wants it.
    #[error("{target} could not be written: {source}")]
    Write {
        /// Its name.
        target: String,
        /// Why.
        source: io::Error,
    },
}

/// A file of the repository that was not believed, or not believed any more.
#[derive(Debug, thiserror::Error)]
#[error("{file} is refused: {problem}")]
pub struct Refused {
    /// Its name, with its version where one was asked for.
    pub file: String,
    /// Why.
    pub problem: Problem,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It is no metadata of this role.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The wrong people signed it, or too few.
    #[error(transparent)]
    Signatures(#[from] TooFewSignatures),
    /// Its bytes are not those that were listed.
    #[error("{0}; the server holds other bytes than were signed: copy the repository there anew")]
    Bytes(#[from] Mismatch),
    /// It says another version than its name or its listing.
    #[error("it says version {found}, where version {expected} belongs; the repository was put together wrongly")]
    Version {
        /// Asked for.
        expected: Version,
        /// In the file.
        found: Version,
    },
    /// It is older than what was seen, or names something older.
    #[error("it offers version {offered} of {what}, but version {known} was seen before; an old copy is being served")]
    Rollback {
        /// The file that went back.
        what: String,
        /// Seen before.
        known: Version,
        /// Offered now.
        offered: Version,
    },
    /// A snapshot that no longer lists what one before did.
    #[error("it does not list {what}, of which version {known} was seen before; files of a snapshot may not go away")]
    Vanished {
        /// The file.
        what: String,
        /// Seen before.
        known: Version,
    },
    /// It is void.
    #[error(
        "it expired at {expired}, and it is {now}; the repository has to be signed anew, or an old copy is being served"
    )]
    Expired {
        /// From then on.
        expired: Timestamp,
        /// The time of this run.
        now: Timestamp,
    },
    /// It is longer than a client takes.
    #[error("it has more than {limit} bytes, the most that is read of such a file")]
    TooLong {
        /// The most.
        limit: u64,
    },
    /// The snapshot does not know it.
    #[error("the snapshot does not list it; the repository was put together wrongly")]
    NotListed,
    /// File names without versions and hashes.
    #[error("it says consistent_snapshot = false; only repositories whose file names carry versions are understood")]
    NotConsistent,
    /// No version comes after it.
    #[error("its version is the last that a number can hold")]
    LastVersion,
}

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The repository does not have it; asked for the next root, that is the answer "there is none yet".
    #[error("the repository does not have it")]
    NotFound,
    /// Network, server, disk, or a time limit of the one who fetches.
    #[error("{0}")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The store of trusted metadata failed.
#[derive(Debug, thiserror::Error)]
#[error("trusted metadata: {path}: {source}; is the disk full or damaged?")]
pub struct StoreError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}
