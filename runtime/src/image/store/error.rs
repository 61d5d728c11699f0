//! What can go wrong in the store.

use std::io;
use std::path::{Path, PathBuf};

use crate::image::merge::MergeError;

/// Why the store cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("cannot {step} {path}", path = path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No such image.
    #[error("No such image: {name}")]
    NoSuchImage {
        /// As given.
        name: String,
    },
    /// Several images' ids begin like this.
    #[error("multiple IDs found with provided prefix: {prefix}")]
    Ambiguous {
        /// As given.
        prefix: String,
    },
    /// The store was written by a newer release, which says that this one cannot read it.
    #[error("the store needs a reader of format {needed}, this release reads up to {known}")]
    Format {
        /// Asked for.
        needed: u32,
        /// Known.
        known: u32,
    },
    /// A record does not parse.
    #[error("{path} is damaged", path = path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Layers do not make a tree.
    #[error("the layers of {image} do not fit together")]
    Merge {
        /// The image.
        image: String,
        /// Why.
        #[source]
        source: MergeError,
    },
    /// The metadata image cannot be written.
    #[error("cannot write the metadata of {image}")]
    Metadata {
        /// The image.
        image: String,
        /// Why.
        #[source]
        source: keelson_erofs::WriteError,
    },
}

impl StoreError {
    /// For `map_err`: names the step and the path.
    pub fn io(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { step, path, source }
    }
}
