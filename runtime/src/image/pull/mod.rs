//! One pull, from a name to a committed image.
//!
//! ```text
//! each endpoint, until one has all: resolve ─► configuration ─► layers ─► metadata ─► commit
//!                                                   │
//!                        download (three at a time) └─► ingest (one at a time, in order)
//! ```
//!
//! Runs on a blocking thread with a runtime of its own, so that neither slow disks nor parsing hold up
//! the engine. What fails, or is cancelled, leaves nothing.

mod fetch;
mod resolve;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::digest::{Digest, ImageId};
use super::ingest::LayerError;
use super::manifest::{Descriptor, ManifestError};
use super::progress::{LayerProgress, Progress, ProgressSink};
use super::reference::Reference;
use super::registry::{Credentials, Endpoint, Registries, RegistryError, RetryPolicy, plan_endpoints};
use super::room::NoRoom;
use super::store::{Store, StoreError};

/// Longest wait for an ingest or a commit that a cancelled pull left running.
const SHUTDOWN_MAX: Duration = Duration::from_secs(600);

/// Why a pull failed; the store is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// No such repository, or no right to it.
    #[error("pull access denied for {name}, repository does not exist or may require 'docker login'")]
    Denied {
        /// Familiar name.
        name: String,
        /// What the registry said.
        #[source]
        source: RegistryError,
    },
    /// No such tag or digest.
    #[error("manifest for {name} not found")]
    NotFound {
        /// Familiar reference.
        name: String,
    },
    /// Another failure of the registry or the way to it.
    #[error("cannot pull {name}")]
    Registry {
        /// Familiar reference.
        name: String,
        /// Why.
        #[source]
        source: RegistryError,
    },
    /// The manifest or configuration is refused.
    #[error(transparent)]
    Manifest(ManifestError),
    /// A layer is refused or cannot be stored.
    #[error("cannot take layer {layer} in")]
    Layer {
        /// First 12 digits of the blob's digest.
        layer: String,
        /// Why.
        #[source]
        source: LayerError,
    },
    /// The partition has no room for it.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The store failed.
    #[error("cannot store the image")]
    Store(#[from] StoreError),
    /// The thread or its runtime could not be made.
    #[error("cannot run the pull")]
    Thread(#[source] std::io::Error),
    /// The caller went away.
    #[error("the pull was cancelled")]
    Cancelled,
}

impl PullError {
    /// Whether another endpoint may do better.
    const fn is_of_endpoint(&self) -> bool {
        match self {
            Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::Registry { .. }
            | Self::Manifest(_)
            | Self::Layer { .. } => true,
            Self::NoRoom(_) | Self::Store(_) | Self::Thread(_) | Self::Cancelled => false,
        }
    }
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
    /// How patient to be with registries.
    pub retry: RetryPolicy,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            registries: Arc::default(),
            credentials: None,
            progress: Arc::new(|_| ()),
            cancel: CancellationToken::new(),
            retry: RetryPolicy::default(),
        }
    }
}

impl fmt::Debug for PullOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullOptions")
            .field("registries", &self.registries)
            .finish_non_exhaustive()
    }
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
///
/// # Errors
/// [`PullError`].
pub async fn pull(store: &Arc<Store>, reference: &Reference, options: &PullOptions) -> Result<Pulled, PullError> {
    let cancel = options.cancel.child_token();
    let _dropped = cancel.clone().drop_guard();
    let (store, reference, options) = (Arc::clone(store), reference.clone(), options.clone());
    let thread = tokio::task::spawn_blocking(move || run(&store, &reference, &options, &cancel));
    thread
        .await
        .unwrap_or_else(|error| Err(PullError::Thread(std::io::Error::other(error))))
}

fn run(
    store: &Arc<Store>,
    reference: &Reference,
    options: &PullOptions,
    cancel: &CancellationToken,
) -> Result<Pulled, PullError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()
        .map_err(PullError::Thread)?;
    let entered = store.enter();
    let task = Task {
        store,
        reference,
        options,
        cancel,
    };
    let pulled = runtime.block_on(async {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(PullError::Cancelled),
            pulled = task.run() => pulled,
        }
    });
    // What a cancelled pull left running still relies on the store: no sweep before its end.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    drop(entered);
    store.settle_later();
    pulled
}

/// One pull's inputs.
struct Task<'a> {
    store: &'a Arc<Store>,
    reference: &'a Reference,
    options: &'a PullOptions,
    cancel: &'a CancellationToken,
}

impl Task<'_> {
    /// Tries mirrors and registry in turn; the registry's own failure is the one that is reported.
    async fn run(&self) -> Result<Pulled, PullError> {
        let mut last = PullError::NotFound {
            name: self.reference.familiar(),
        };
        let credentials = self.options.credentials.as_ref();
        for endpoint in plan_endpoints(self.reference, &self.options.registries, credentials) {
            let host = endpoint.host.clone();
            match self.pull_from(endpoint).await {
                Err(error) if error.is_of_endpoint() => {
                    log::debug!(registry = host.as_str(), error:% = error; "endpoint does not give the image");
                    last = error;
                }
                ended => return ended,
            }
        }
        Err(last)
    }

    async fn pull_from(&self, endpoint: Endpoint) -> Result<Pulled, PullError> {
        let resolved = self.resolve(endpoint).await?;
        (self.options.progress)(Progress::Resolved {
            digest: resolved.digest,
        });
        let id = resolved.manifest.config.digest;
        let up_to_date = self.store.named(self.reference) == Some(id);
        if self.store.existing(&id).is_some() {
            for layer in &resolved.manifest.layers {
                self.tell(layer, LayerProgress::AlreadyExists);
            }
            self.store.name_pulled(self.reference, resolved.digest, id)?;
        } else {
            self.fetch(&resolved, id).await?;
        }
        log::info!(image = self.reference.familiar().as_str(), id:% = id; "image pulled");
        Ok(Pulled {
            id,
            digest: resolved.digest,
            up_to_date,
        })
    }

    fn tell(&self, layer: &Descriptor, state: LayerProgress) {
        (self.options.progress)(Progress::Layer {
            id: layer.digest.short(),
            state,
        });
    }

    fn failed(&self, source: RegistryError) -> PullError {
        match &source {
            RegistryError::Denied { .. } => PullError::Denied {
                name: self.reference.familiar_name(),
                source,
            },
            RegistryError::NotFound { what, .. } if what.starts_with("manifests/") => PullError::NotFound {
                name: self.reference.familiar(),
            },
            _ => PullError::Registry {
                name: self.reference.familiar(),
                source,
            },
        }
    }
}

fn text(bytes: Vec<u8>, what: &'static str) -> Result<String, PullError> {
    String::from_utf8(bytes).map_err(|_| PullError::Manifest(ManifestError::Text { what }))
}

#[cfg(test)]
#[path = "pull_test.rs"]
mod tests;
