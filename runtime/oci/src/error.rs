//! One error for the whole runtime: which step, on what, and why. The text of an error never repeats its source.

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// What a caller may decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The program was not found in the container (Docker's 127).
    NotFound,
    /// The program cannot be executed (Docker's 126).
    NotExecutable,
    /// The specification makes no sense or asks for what is not there.
    Invalid,
    /// Not possible in the container's present state.
    Conflict,
    /// Anything else.
    Failed,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The specification is refused.
    #[error("config.json: {member}: {reason}")]
    Spec {
        /// Where in the document, as `linux.namespaces`.
        member: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A step failed on something that has a path.
    #[error("cannot {step} {}", path.display())]
    Step {
        /// A verb phrase: "mount", "create cgroup".
        step: &'static str,
        /// What it was done to; empty if there is nothing to name.
        path: PathBuf,
        /// The errno.
        #[source]
        source: io::Error,
    },
    /// A JSON document of ours or of the caller's cannot be read.
    #[error("cannot read {}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        #[source]
        source: serde_json::Error,
    },
    /// The program to run is not there or not executable.
    #[error("cannot run {program}: {reason}")]
    Program {
        /// Its first argument.
        program: String,
        /// Which kind of absence.
        kind: Kind,
        /// In words.
        reason: &'static str,
    },
    /// Refused because of the container's state.
    #[error("container {id} {reason}")]
    State {
        /// Container id.
        id: String,
        /// "does not exist", "is running", ….
        reason: String,
    },
    /// A hook failed.
    #[error("hook {} failed: {reason}", path.display())]
    Hook {
        /// The program.
        path: PathBuf,
        /// Its status or why it did not run.
        reason: String,
    },
    /// Reported by the container's process while it set itself up; the whole chain in one line.
    #[error("{message}")]
    Container {
        /// Its kind.
        kind: Kind,
        /// The chain.
        message: String,
    },
}

impl Error {
    /// What a caller may decide by.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Spec { .. } | Self::Json { .. } => Kind::Invalid,
            Self::State { .. } => Kind::Conflict,
            Self::Program { kind, .. } | Self::Container { kind, .. } => *kind,
            Self::Step { .. } | Self::Hook { .. } => Kind::Failed,
        }
    }

    /// Error and causes in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }

    /// The errno below it, if it is a failed step.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Step { source, .. } => source.raw_os_error().map(Errno::from_raw_os_error),
            _ => None,
        }
    }

    pub(crate) fn spec(member: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Spec {
            member: member.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn state(id: &str, reason: impl Into<String>) -> Self {
        Self::State {
            id: id.to_owned(),
            reason: reason.into(),
        }
    }
}

/// Result of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Names the step a system call was.
pub(crate) trait Step<T> {
    /// "cannot `step` `path`", with the errno as its source.
    fn step(self, step: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<io::Error>> Step<T> for std::result::Result<T, E> {
    fn step(self, step: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::Step {
            step,
            path: path.as_ref().to_owned(),
            source: source.into(),
        })
    }
}
