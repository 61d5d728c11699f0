//! stub
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::digest::{Digest, ImageId};
use super::progress::ProgressSink;
use super::reference::Reference;
use super::registry::{Credentials, Registries};
use super::store::Store;

/// Why a pull failed; the store is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// No such repository, or no right to it.
    #[error("pull access denied for {name}, repository does not exist or may require 'docker login'")]
    Denied {
        /// Familiar name.
        name: String,
    },
    /// No such tag or digest.
    #[error("manifest for {name} not found")]
    NotFound {
        /// Familiar reference.
        name: String,
    },
    /// The image has no variant for this machine.
    #[error("no matching manifest for {platform} in the manifest list entries")]
    NoPlatform {
        /// What was looked for.
        platform: String,
    },
    /// The caller went away.
    #[error("the pull was cancelled")]
    Cancelled,
}

/// What a pull is given besides the name.
#[derive(Clone)]
pub struct PullOptions {
    /// Settings of registries: plain HTTP, certificates, mirrors, credentials.
    pub registries: Arc<Registries>,
    /// Credentials of this request; they outrank the settings'.
    pub credentials: Option<Credentials>,
    /// Receives progress.
    pub progress: ProgressSink,
    /// Ends the pull early. Dropping the future does the same.
    pub cancel: CancellationToken,
}

/// What a pull brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulled {
    /// The image.
    pub id: ImageId,
    /// Digest of the manifest, or of the index of several platforms.
    pub digest: Digest,
    /// Whether the tag pointed at this image before.
    pub up_to_date: bool,
}

/// Pulls an image: resolves the name, downloads what is missing, and commits it whole or not at all.
/// Runs on a blocking thread with a runtime of its own; the caller's stays free.
///
/// # Errors
/// [`PullError`].
pub async fn pull(store: &Arc<Store>, reference: &Reference, options: &PullOptions) -> Result<Pulled, PullError> {
    let _ = (store, reference, options);
    todo!()
}
