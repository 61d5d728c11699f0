//! Container images: made without a container engine, served by a registry of our own for one run.

mod layer;
mod push;
mod registry;

use serde_json::json;

pub use layer::{Entry, Kind, layer};
pub use push::{PushError, push};
pub use registry::{Registry, RegistryError};

use crate::digest::{hex, sha256};

/// A blob with the digest it is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Content.
    pub bytes: Vec<u8>,
}

impl Blob {
    /// A blob of these bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Blob {
        Blob {
            digest: format!("sha256:{}", hex(&sha256(&bytes))),
            bytes,
        }
    }
}

/// A layer in both forms an image needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// As it is transferred: gzip.
    pub blob: Blob,
    /// Digest of the tar inside.
    pub diff_id: String,
}

/// How a container of an image starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Start {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment, `NAME=value`.
    pub environment: Vec<String>,
    /// TCP ports it listens on.
    pub ports: Vec<u16>,
    /// Signal that ends it in order; the runtime's default if empty.
    pub stop_signal: String,
}

/// An image: a manifest and the blobs it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Manifest.
    pub manifest: Blob,
    /// Config, then layers.
    pub blobs: Vec<Blob>,
}

/// Media type of [`Image::manifest`].
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Puts layers together, lowest first.
///
/// Source: OCI image specification 1.1, `config.md` and `manifest.md`.
#[must_use]
pub fn image(layers: Vec<Layer>, start: &Start) -> Image {
    let ports: serde_json::Map<_, _> = start
        .ports
        .iter()
        .map(|port| (format!("{port}/tcp"), json!({})))
        .collect();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Cmd": start.command,
            "Env": start.environment,
            "ExposedPorts": ports,
            "StopSignal": (!start.stop_signal.is_empty()).then_some(&start.stop_signal),
        },
        "rootfs": {
            "type": "layers",
            "diff_ids": layers.iter().map(|layer| layer.diff_id.as_str()).collect::<Vec<_>>(),
        },
    });
    let config = Blob::new(config.to_string().into_bytes());
    let descriptor =
        |kind: &str, blob: &Blob| json!({ "mediaType": kind, "digest": blob.digest, "size": blob.bytes.len() });
    let of_layer = |layer: &Layer| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &layer.blob);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": layers.iter().map(of_layer).collect::<Vec<_>>(),
    });
    let manifest = Blob::new(manifest.to_string().into_bytes());
    let blobs = std::iter::once(config)
        .chain(layers.into_iter().map(|layer| layer.blob))
        .collect();
    Image { manifest, blobs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_names_every_blob_and_the_same_input_gives_the_same_digest() {
        let made = || {
            let layers = vec![layer(&[]).unwrap(), layer(&[Entry::folder("etc", 0o755)]).unwrap()];
            image(
                layers,
                &Start {
                    command: vec!["/x".into()],
                    ports: vec![80],
                    ..Start::default()
                },
            )
        };
        let image = made();
        assert_eq!(image, made());
        let text = String::from_utf8(image.manifest.bytes).unwrap();
        assert_eq!(image.blobs.len(), 3);
        for blob in &image.blobs {
            assert!(text.contains(&blob.digest));
        }
        let config: serde_json::Value = serde_json::from_slice(&image.blobs[0].bytes).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
        assert_eq!(config["config"]["ExposedPorts"]["80/tcp"], json!({}));
    }
}
