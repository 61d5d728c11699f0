//! One pull, from a name to a committed image.
//!
//! ```text
//! endpoints ─► resolve (first that answers) ─► configuration ─► layers ─► metadata ─► commit
//!                                                   │
//!                        download (three at a time) └─► ingest (one at a time, in order)
//! ```
//!
//! Runs on a blocking thread with a runtime of its own, so that neither slow disks nor parsing hold up
//! the engine. What fails, or is cancelled, leaves nothing.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{FuturesOrdered, StreamExt};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::digest::{Digest, ImageId};
use super::ingest::LayerError;
use super::manifest::{
    ACCEPT, CONFIG_MAX, Descriptor, Document, MANIFEST_MAX, Manifest, ManifestError, parse_config, parse_document,
    select_platform,
};
use super::progress::{LayerProgress, Progress, ProgressSink};
use super::record::{LayerRef, StoredImage};
use super::reference::Reference;
use super::registry::{
    Credentials, Get, Registries, RegistryClient, RegistryError, RetryPolicy, blob_path, plan_endpoints,
};
use super::store::{Commit, Staging, Store, StoreError};

const DOWNLOADS_AT_ONCE: usize = 3;
/// Progress of a download is told each time this many bytes have come.
const PROGRESS_STEP: u64 = 512 * 1024;
/// Longest wait for an ingest or a commit that a cancelled pull left running.
const SHUTDOWN_MAX: Duration = Duration::from_secs(600);
/// Version of image records.
const RECORD_FORMAT: u32 = 1;

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
    if let Err(error) = store.settle() {
        log::warn!(error:% = error; "image store not swept");
    }
    pulled
}

/// One pull's inputs.
struct Task<'a> {
    store: &'a Arc<Store>,
    reference: &'a Reference,
    options: &'a PullOptions,
    cancel: &'a CancellationToken,
}

/// What a name stands for.
struct Resolved {
    client: Arc<RegistryClient>,
    digest: Digest,
    manifest: Manifest,
    raw: String,
}

impl Task<'_> {
    async fn run(&self) -> Result<Pulled, PullError> {
        let resolved = self.resolve().await?;
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

    /// Asks mirrors and registry in turn; the registry's own answer is the one that is reported.
    async fn resolve(&self) -> Result<Resolved, PullError> {
        let mut last = PullError::NotFound {
            name: self.reference.familiar(),
        };
        let endpoints = plan_endpoints(
            self.reference,
            &self.options.registries,
            self.options.credentials.as_ref(),
        );
        for endpoint in endpoints {
            let host = endpoint.host.clone();
            match self.resolve_at(endpoint).await {
                Ok(resolved) => return Ok(resolved),
                Err(error) => {
                    log::debug!(registry = host.as_str(), error:% = error; "endpoint does not have the image");
                    last = error;
                }
            }
        }
        Err(last)
    }

    async fn resolve_at(&self, endpoint: super::registry::Endpoint) -> Result<Resolved, PullError> {
        let client = RegistryClient::new(endpoint, self.options.retry).map_err(|e| self.failed(e))?;
        let key = self.reference.manifest_key();
        let raw = self.manifest(&client, &key, self.reference.digest()).await?;
        let digest = Digest::of(&raw);
        let (manifest, raw) = match parse_document(&raw).map_err(PullError::Manifest)? {
            Document::Image(manifest) => (manifest, raw),
            Document::Index(entries) => {
                let entry = select_platform(&entries).map_err(PullError::Manifest)?;
                let raw = self
                    .manifest(&client, &entry.digest.to_string(), Some(&entry.digest))
                    .await?;
                match parse_document(&raw).map_err(PullError::Manifest)? {
                    Document::Image(manifest) => (manifest, raw),
                    Document::Index(_) => {
                        let media_type = "index within an index".to_owned();
                        return Err(PullError::Manifest(ManifestError::MediaType { media_type }));
                    }
                }
            }
        };
        let raw = text(raw, "manifest")?;
        Ok(Resolved {
            client: Arc::new(client),
            digest,
            manifest,
            raw,
        })
    }

    /// A manifest's bytes; when they were asked for by digest, they have it.
    async fn manifest(
        &self,
        client: &RegistryClient,
        key: &str,
        expected: Option<&Digest>,
    ) -> Result<Vec<u8>, PullError> {
        let path = format!("manifests/{key}");
        let get = Get {
            path: &path,
            accept: Some(ACCEPT),
            from: 0,
        };
        let bytes = client
            .get_bounded(&get, MANIFEST_MAX)
            .await
            .map_err(|e| self.failed(e))?;
        self.check(client, &bytes, expected)?;
        Ok(bytes)
    }

    fn check(&self, client: &RegistryClient, bytes: &[u8], expected: Option<&Digest>) -> Result<(), PullError> {
        let actual = Digest::of(bytes);
        match expected {
            Some(expected) if *expected != actual => Err(self.failed(RegistryError::Digest {
                host: client.host().to_owned(),
                actual,
                expected: *expected,
            })),
            _ => Ok(()),
        }
    }

    async fn fetch(&self, resolved: &Resolved, id: ImageId) -> Result<(), PullError> {
        let config = self.config(resolved).await?;
        let layers = &resolved.manifest.layers;
        let diff_ids = parse_config(config.as_bytes(), layers.len()).map_err(PullError::Manifest)?;
        let staging = Arc::new(self.store.stage()?);
        let sizes = self.layers(resolved, &diff_ids, &staging).await?;
        let layers = layers
            .iter()
            .zip(&diff_ids)
            .map(|(blob, diff_id)| LayerRef {
                diff_id: *diff_id,
                blob: blob.digest,
                size: sizes.get(diff_id).copied().unwrap_or_default(),
            })
            .collect();
        let raw = resolved.raw.clone();
        let (store, reference, digest) = (Arc::clone(self.store), self.reference.clone(), resolved.digest);
        let finish = move || -> Result<(), StoreError> {
            let metadata = staging.write_metadata(&id, &diff_ids)?;
            let image = StoredImage {
                format: RECORD_FORMAT,
                config,
                manifest: raw,
                layers,
                metadata,
            };
            Commit {
                store: &store,
                staging: &staging,
                id,
                image,
                reference,
                digest,
            }
            .run()
        };
        // From here on a cancelled pull still ends whole or not at all.
        blocking(finish).await??;
        Ok(())
    }

    async fn config(&self, resolved: &Resolved) -> Result<String, PullError> {
        let blob = &resolved.manifest.config;
        let path = blob_path(&blob.digest);
        let get = Get {
            path: &path,
            accept: None,
            from: 0,
        };
        let bytes = resolved
            .client
            .get_bounded(&get, CONFIG_MAX)
            .await
            .map_err(|error| self.failed(error))?;
        self.check(&resolved.client, &bytes, Some(&blob.digest))?;
        text(bytes, "configuration")
    }

    /// Brings every layer that is missing into the staging area; returns the size of each by diff id.
    async fn layers(
        &self,
        resolved: &Resolved,
        diff_ids: &[Digest],
        staging: &Arc<Staging>,
    ) -> Result<BTreeMap<Digest, u64>, PullError> {
        let slots = Arc::new(Semaphore::new(DOWNLOADS_AT_ONCE));
        let mut sizes = BTreeMap::new();
        let mut seen = HashSet::new();
        let mut downloads = FuturesOrdered::new();
        for (layer, diff_id) in resolved.manifest.layers.iter().zip(diff_ids) {
            if self.store.has_layer(diff_id) {
                self.tell(layer, LayerProgress::AlreadyExists);
                sizes.insert(*diff_id, self.store.layer_size(diff_id)?);
            } else if seen.insert(*diff_id) {
                self.tell(layer, LayerProgress::PullingFsLayer);
                downloads.push_back(self.download(resolved, layer, *diff_id, staging, Arc::clone(&slots)));
            }
        }
        let (send, mut receive) = mpsc::channel(DOWNLOADS_AT_ONCE);
        let fetched = async move {
            while let Some(downloaded) = downloads.next().await {
                // The receiver goes only with this future.
                let _ = send.send(downloaded?).await;
            }
            Ok(())
        };
        // Downloads go on while a layer is taken in.
        let taken_in = async {
            while let Some((layer, diff_id)) = receive.recv().await {
                sizes.insert(diff_id, self.ingest(layer, diff_id, staging).await?);
            }
            Ok::<(), PullError>(())
        };
        tokio::try_join!(fetched, taken_in)?;
        Ok(sizes)
    }

    async fn download<'a>(
        &self,
        resolved: &Resolved,
        layer: &'a Descriptor,
        diff_id: Digest,
        staging: &Staging,
        slots: Arc<Semaphore>,
    ) -> Result<(&'a Descriptor, Digest), PullError> {
        let _slot = slots.acquire().await.map_err(|_| PullError::Cancelled)?;
        let told = AtomicU64::new(0);
        let progress = |current: u64| {
            let before = told.load(Ordering::Relaxed);
            if current >= before + PROGRESS_STEP || current == layer.size || current < before {
                told.store(current, Ordering::Relaxed);
                self.tell(
                    layer,
                    LayerProgress::Downloading {
                        current,
                        total: layer.size,
                    },
                );
            }
        };
        let path = staging.blob(&layer.digest);
        resolved
            .client
            .download(layer, &path, &progress)
            .await
            .map_err(|error| self.failed(error))?;
        self.tell(layer, LayerProgress::DownloadComplete);
        Ok((layer, diff_id))
    }

    async fn ingest(&self, layer: &Descriptor, diff_id: Digest, staging: &Arc<Staging>) -> Result<u64, PullError> {
        let (staging, path) = (Arc::clone(staging), staging.blob(&layer.digest));
        let (progress, cancel) = (Arc::clone(&self.options.progress), self.cancel.clone());
        let (id, total) = (layer.digest.short(), layer.size);
        let work = move || {
            let mut told = 0;
            let mut read = |current: u64| {
                if cancel.is_cancelled() {
                    return Err(std::io::Error::other("cancelled"));
                }
                if current >= told + PROGRESS_STEP || current == total {
                    told = current;
                    let state = LayerProgress::Extracting { current, total };
                    progress(Progress::Layer { id: id.clone(), state });
                }
                Ok(())
            };
            let ingested = staging.ingest(&path, &diff_id, &mut read);
            // Its digest is checked and its contents are objects: the blob's pages need not reach the disk.
            let _ = std::fs::remove_file(&path);
            ingested
        };
        let ingested = blocking(work).await?.map_err(|source| PullError::Layer {
            layer: layer.digest.short(),
            source,
        })?;
        self.tell(layer, LayerProgress::PullComplete);
        Ok(ingested.size)
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

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, PullError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| PullError::Thread(std::io::Error::other(error)))
}

fn text(bytes: Vec<u8>, what: &'static str) -> Result<String, PullError> {
    String::from_utf8(bytes).map_err(|_| PullError::Manifest(ManifestError::Text { what }))
}

#[cfg(test)]
#[path = "pull_test.rs"]
mod tests;
