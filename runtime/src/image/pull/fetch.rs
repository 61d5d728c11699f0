//! From a manifest to a committed image: configuration, layers, metadata. Downloads run ahead while
//! layers are taken in one after the other.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream::{FuturesOrdered, StreamExt};
use tokio::sync::{Semaphore, mpsc};

use super::resolve::Resolved;
use super::{PullError, Task, text};
use crate::image::digest::{Digest, ImageId};
use crate::image::ingest::LayerError;
use crate::image::manifest::{CONFIG_MAX, Descriptor, parse_config};
use crate::image::progress::{LayerProgress, Progress};
use crate::image::record::{LayerRef, StoredImage};
use crate::image::registry::{Get, blob_path};
use crate::image::store::{Commit, Staging, StoreError};

const DOWNLOADS_AT_ONCE: usize = 3;
/// Progress is told each time this many bytes have come.
const PROGRESS_STEP: u64 = 512 * 1024;
/// Version of image records.
const RECORD_FORMAT: u32 = 1;

impl Task<'_> {
    pub async fn fetch(&self, resolved: &Resolved, id: ImageId) -> Result<(), PullError> {
        let config = self.config(resolved).await?;
        let layers = &resolved.manifest.layers;
        let diff_ids = parse_config(config.as_bytes(), layers.len()).map_err(PullError::Manifest)?;
        self.store.check_room(self.plan_bytes(layers, &diff_ids))?;
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

    /// Bytes to download: the layers that are missing, each once.
    fn plan_bytes(&self, layers: &[Descriptor], diff_ids: &[Digest]) -> u64 {
        let mut seen = HashSet::new();
        layers
            .iter()
            .zip(diff_ids)
            .filter(|(_, diff_id)| !self.store.has_layer(diff_id) && seen.insert(**diff_id))
            .fold(0, |sum, (layer, _)| sum.saturating_add(layer.size))
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
        let ingested = blocking(work).await?.map_err(|source| match source {
            LayerError::NoRoom(refused) => PullError::NoRoom(refused),
            source => PullError::Layer {
                layer: layer.digest.short(),
                source,
            },
        })?;
        self.tell(layer, LayerProgress::PullComplete);
        Ok(ingested.size)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, PullError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| PullError::Thread(std::io::Error::other(error)))
}
