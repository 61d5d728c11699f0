//! What is known about an image: the value that the engine gets, and its durable form.

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};

use super::digest::{Digest, ImageId};

/// An image of the store, as the engine sees it.
#[derive(Debug, Clone)]
pub struct ImageRecord {
    /// Digest of the configuration.
    pub id: ImageId,
    /// Familiar names with tag, sorted: `nginx:latest`. Empty for a dangling image.
    pub repo_tags: Vec<String>,
    /// Familiar names with the digest as pulled, sorted: `nginx@sha256:…`.
    pub repo_digests: Vec<String>,
    /// The configuration, parsed.
    pub config: ImageConfiguration,
    /// The configuration as pulled, byte for byte: holds what the OCI type lacks (`Healthcheck`, `Shell`,
    /// `OnBuild`).
    pub raw_config: String,
    /// The manifest as pulled, byte for byte.
    pub raw_manifest: String,
    /// Uncompressed bytes of all layers.
    pub size: u64,
    /// RFC 3339, as in the configuration.
    pub created: Option<String>,
    /// Layers, lowest first, by digest of their uncompressed tar.
    pub diff_ids: Vec<Digest>,
}

/// One layer of an image, in its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRef {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Digest of the blob it came as.
    pub blob: Digest,
    /// Bytes of the uncompressed tar.
    pub size: u64,
}

/// `images/HEX.json`: exists only when the metadata image and all layers are durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// Version of this record.
    pub format: u32,
    /// The configuration, byte for byte.
    pub config: String,
    /// The manifest, byte for byte.
    pub manifest: String,
    /// Layers, lowest first.
    pub layers: Vec<LayerRef>,
    /// fs-verity digest of `images/HEX.erofs`.
    pub metadata: Digest,
}

impl StoredImage {
    /// The record as the engine sees it.
    ///
    /// # Errors
    /// The configuration does not parse; it did when it was pulled.
    pub fn into_record(
        self,
        id: ImageId,
        repo_tags: Vec<String>,
        repo_digests: Vec<String>,
    ) -> Result<ImageRecord, serde_json::Error> {
        let config: ImageConfiguration = serde_json::from_str(&self.config)?;
        Ok(ImageRecord {
            id,
            repo_tags,
            repo_digests,
            created: config.created().clone(),
            config,
            raw_config: self.config,
            raw_manifest: self.manifest,
            size: self.layers.iter().map(|layer| layer.size).sum(),
            diff_ids: self.layers.iter().map(|layer| layer.diff_id).collect(),
        })
    }
}
