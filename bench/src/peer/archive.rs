//! An image as one file that `docker load` and `podman load` read. Source: Docker image specification 1.2.

use anyhow::{Context, Result};
use keelson_os_build::oci::{Blob, Image};
use serde_json::json;
use tar::{Builder, EntryType, Header};

/// The archive of an image under a name.
pub fn docker(image: &Image, name: &str) -> Result<Vec<u8>> {
    let (config, layers) = image.blobs.split_first().context("an image has a config")?;
    let file = |blob: &Blob| blob.digest.trim_start_matches("sha256:").to_owned();
    let index = json!([{
        "Config": format!("{}.json", file(config)),
        "RepoTags": [name],
        "Layers": layers.iter().map(|layer| format!("{}.tar", file(layer))).collect::<Vec<_>>(),
    }]);
    let mut archive = Builder::new(Vec::new());
    add(&mut archive, &format!("{}.json", file(config)), &config.bytes)?;
    for layer in layers {
        add(&mut archive, &format!("{}.tar", file(layer)), &layer.bytes)?;
    }
    add(&mut archive, "manifest.json", index.to_string().as_bytes())?;
    Ok(archive.into_inner()?)
}

fn add(archive: &mut Builder<Vec<u8>>, path: &str, content: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    Ok(archive.append_data(&mut header, path, content)?)
}
