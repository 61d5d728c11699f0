//! From a name to a manifest at one endpoint; of an index, to this machine's image.

use std::sync::Arc;

use super::{PullError, Task, text};
use crate::image::digest::Digest;
use crate::image::manifest::{
    ACCEPT, Document, MANIFEST_MAX, Manifest, ManifestError, parse_document, select_platform,
};
use crate::image::registry::{Endpoint, Get, RegistryClient, RegistryError};

/// What a name stands for.
pub struct Resolved {
    /// The endpoint that has it.
    pub client: Arc<RegistryClient>,
    /// Digest as pulled.
    pub digest: Digest,
    /// The image.
    pub manifest: Manifest,
    /// Its manifest, byte for byte.
    pub raw: String,
}

impl Task<'_> {
    /// What the name stands for at one endpoint.
    pub async fn resolve(&self, endpoint: Endpoint) -> Result<Resolved, PullError> {
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

    pub fn check(&self, client: &RegistryClient, bytes: &[u8], expected: Option<&Digest>) -> Result<(), PullError> {
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
}
