//! Manifests, indexes and configurations: bounded bytes to the few facts a pull needs. Pure.
//!
//! Formats: OCI image specification (`manifest.md`, `image-index.md`, `config.md`) and Docker's schema 2,
//! which has the same fields under other media types.

use oci_spec::image::ImageConfiguration;
use serde::Deserialize;

use super::digest::Digest;

/// Largest manifest or index, as registries themselves allow.
pub const MANIFEST_MAX: u64 = 4 << 20;
/// Largest configuration.
pub const CONFIG_MAX: u64 = 8 << 20;
/// Most layers; overlay file systems of other engines stop at 128.
const LAYERS_MAX: usize = 512;
/// Most entries of an index that are looked at.
const INDEX_MAX: usize = 1024;

/// What a registry is told that we read.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Why a document is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON of the expected shape.
    #[error("the {what} is malformed")]
    Malformed {
        /// Manifest or configuration.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Not UTF-8.
    #[error("the {what} is not UTF-8 text")]
    Text {
        /// Manifest or configuration.
        what: &'static str,
    },
    /// Docker's schema 1, which has no digests of its own.
    #[error("manifest schema version {version} is not supported")]
    Schema {
        /// The version.
        version: u32,
    },
    /// A media type that is neither image nor index.
    #[error("media type {media_type:?} is not that of an image")]
    MediaType {
        /// The type.
        media_type: String,
    },
    /// No variant for this machine.
    #[error("no matching manifest for {platform} in the manifest list entries")]
    NoPlatform {
        /// What was looked for.
        platform: String,
    },
    /// Layers and diff ids do not correspond, or there are too many.
    #[error("the manifest has {layers} layers, the configuration {diff_ids}")]
    Layers {
        /// Of the manifest.
        layers: usize,
        /// Of the configuration.
        diff_ids: usize,
    },
    /// A diff id is no digest.
    #[error("a layer's diff id is no digest")]
    DiffId(#[source] super::digest::DigestError),
}

/// Content by digest and size.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is; empty in some old documents.
    #[serde(default)]
    pub media_type: String,
    /// Digest of the bytes.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
    /// Machine it is for, in an index.
    #[serde(default)]
    pub platform: Option<Platform>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// GOOS.
    pub os: String,
    /// GOARCH.
    pub architecture: String,
    /// GOARCH's level, such as `v3`.
    #[serde(default)]
    pub variant: Option<String>,
}

/// One image of one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// What a registry answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// An image.
    Image(Manifest),
    /// Several, by platform.
    Index(Vec<Descriptor>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

/// Reads a manifest or an index. The fields decide; a media type must not contradict them.
///
/// # Errors
/// [`ManifestError`].
pub fn parse_document(bytes: &[u8]) -> Result<Document, ManifestError> {
    let raw: Raw = serde_json::from_slice(bytes).map_err(|source| ManifestError::Malformed {
        what: "manifest",
        source,
    })?;
    if raw.schema_version != 2 {
        return Err(ManifestError::Schema {
            version: raw.schema_version,
        });
    }
    let media_type = raw.media_type.unwrap_or_default();
    let is_index = media_type.ends_with(".index.v1+json") || media_type.ends_with(".manifest.list.v2+json");
    let is_image = media_type.ends_with(".manifest.v1+json") || media_type.ends_with(".manifest.v2+json");
    match (raw.manifests, raw.config, raw.layers) {
        (Some(mut entries), None, None) if is_index || media_type.is_empty() => {
            entries.truncate(INDEX_MAX);
            Ok(Document::Index(entries))
        }
        (None, Some(config), Some(layers)) if is_image || media_type.is_empty() => {
            check_layers(&layers)?;
            Ok(Document::Image(Manifest { config, layers }))
        }
        _ => Err(ManifestError::MediaType { media_type }),
    }
}

fn check_layers(layers: &[Descriptor]) -> Result<(), ManifestError> {
    let foreign = layers.iter().find(|layer| !is_layer(&layer.media_type));
    match foreign {
        Some(layer) => Err(ManifestError::MediaType {
            media_type: layer.media_type.clone(),
        }),
        None if layers.len() > LAYERS_MAX => Err(ManifestError::Layers {
            layers: layers.len(),
            diff_ids: LAYERS_MAX,
        }),
        None => Ok(()),
    }
}

/// Tar, packed or not. Foreign layers are not distributed by registries, encrypted ones not readable.
fn is_layer(media_type: &str) -> bool {
    let base = media_type.split('+').next().unwrap_or_default();
    matches!(
        base,
        "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd"
    ) && !media_type.contains("encrypted")
}

/// The entry of an index that this machine runs: linux/amd64, the plainest variant first.
///
/// # Errors
/// [`ManifestError::NoPlatform`].
pub fn select_platform(entries: &[Descriptor]) -> Result<&Descriptor, ManifestError> {
    let runs = |entry: &&Descriptor| {
        entry
            .platform
            .as_ref()
            .is_some_and(|platform| platform.os == "linux" && platform.architecture == "amd64")
    };
    let level = |entry: &&Descriptor| {
        entry
            .platform
            .as_ref()
            .and_then(|platform| platform.variant.clone())
            .unwrap_or_default()
    };
    entries
        .iter()
        .filter(runs)
        .min_by_key(level)
        .ok_or_else(|| ManifestError::NoPlatform {
            platform: "linux/amd64".to_owned(),
        })
}

/// Reads a configuration and the digests of its layers, which must be as many as the manifest's.
///
/// # Errors
/// [`ManifestError`].
pub fn parse_config(bytes: &[u8], layers: usize) -> Result<Vec<Digest>, ManifestError> {
    let config: ImageConfiguration = serde_json::from_slice(bytes).map_err(|source| ManifestError::Malformed {
        what: "configuration",
        source,
    })?;
    let (os, architecture) = (config.os().to_string(), config.architecture().to_string());
    if (os.as_str(), architecture.as_str()) != ("linux", "amd64") {
        return Err(ManifestError::NoPlatform {
            platform: "linux/amd64".to_owned(),
        });
    }
    let diff_ids = config.rootfs().diff_ids();
    if diff_ids.len() != layers {
        return Err(ManifestError::Layers {
            layers,
            diff_ids: diff_ids.len(),
        });
    }
    diff_ids
        .iter()
        .map(|text| text.parse().map_err(ManifestError::DiffId))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn image(media_type: &str, layer_type: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{{"mediaType":"c","digest":"{D}","size":2}},
            "layers":[{{"mediaType":"{layer_type}","digest":"{D}","size":3}}]}}"#
        )
    }

    #[test]
    fn reads_both_families() {
        for (document, layer) in [
            (
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.layer.v1.tar+zstd",
            ),
            (
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.layer.v1.tar",
            ),
            (
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ),
            ("", "application/vnd.oci.image.layer.v1.tar+gzip"),
        ] {
            let parsed = parse_document(image(document, layer).as_bytes()).unwrap();
            assert!(
                matches!(parsed, Document::Image(manifest) if manifest.layers.len() == 1),
                "{document}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_image() {
        let oci = "application/vnd.oci.image.manifest.v1+json";
        let layer = "application/vnd.oci.image.layer.v1.tar";
        for text in [
            "{}".to_owned(),
            "[]".to_owned(),
            r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(),
            r#"{"schemaVersion":2}"#.to_owned(),
            image("application/vnd.oci.image.index.v1+json", layer),
            image(oci, "application/vnd.in-toto+json"),
            image(oci, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
            image(oci, "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"),
            image(oci, layer).replace("sha256:e", "sha512:e"),
            image(oci, layer).replace("\"size\":3", "\"size\":-3"),
        ] {
            assert!(parse_document(text.as_bytes()).is_err(), "{text}");
        }
    }

    fn entry(os: &str, architecture: &str, variant: Option<&str>, size: u64) -> Descriptor {
        let platform = Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        };
        Descriptor {
            media_type: String::new(),
            digest: Digest::of(b""),
            size,
            platform: Some(platform),
        }
    }

    #[test]
    fn picks_the_plainest_variant_of_this_machine() {
        let entries = [
            entry("unknown", "unknown", None, 1),
            entry("linux", "arm64", None, 2),
            entry("linux", "amd64", Some("v3"), 3),
            entry("linux", "amd64", None, 4),
            entry("windows", "amd64", None, 5),
        ];
        assert_eq!(select_platform(&entries).unwrap().size, 4);
        let error = select_platform(&entries[..2]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no matching manifest for linux/amd64 in the manifest list entries"
        );
    }

    #[test]
    fn layers_and_diff_ids_must_correspond() {
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":null,"ExposedPorts":null,"Labels":null}},
            "rootfs":{{"type":"layers","diff_ids":["{D}"]}}}}"#
        );
        assert_eq!(parse_config(config.as_bytes(), 1).unwrap(), [Digest::of(b"")]);
        assert!(matches!(
            parse_config(config.as_bytes(), 2),
            Err(ManifestError::Layers { .. })
        ));
        let arm = config.replace("amd64", "arm64");
        assert!(matches!(
            parse_config(arm.as_bytes(), 1),
            Err(ManifestError::NoPlatform { .. })
        ));
    }
}
