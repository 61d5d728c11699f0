//! The systems that Keelson is measured against, made from Debian's packages. Making one needs root: the
//! packages' own scripts run in the new tree.

mod archive;
mod disk;
mod recipe;
mod tree;

use std::path::PathBuf;

use anyhow::{Context, Result};
use keelson_os_build::cache::Cache;
use keelson_os_build::digest::{hex, sha256};
use keelson_os_build::oci::Image;

pub use recipe::Peer;

/// Name of the image that is imported into a peer's engine.
pub const IMAGE: &str = "bench:1";

/// A peer's disk with nothing imported yet, from the cache if the same recipe was made before.
///
/// # Errors
/// A step of its making failed.
pub fn disk(cache: &Cache, peer: Peer, image: &Image) -> Result<PathBuf> {
    let overlay = recipe::overlay(peer, archive::docker(image, IMAGE)?);
    let name = format!("peers/{}-{}", peer.name(), short(&recipe::fingerprint(peer, &overlay)));
    let folder = cache.filled_once(&name, |folder| {
        println!("making {} from packages", peer.title());
        let root = tempfile::tempdir_in(folder)?;
        let tree = root.path().join("tree");
        tree::make(&tree, peer, &overlay).context("install the packages")?;
        disk::write(cache, &folder.join("disk.img"), &tree, peer).context("write the disk")
    })?;
    Ok(folder.join("disk.img"))
}

/// The tree of the engines' race; never to be written.
///
/// # Errors
/// A step of its making failed.
pub fn engines(cache: &Cache) -> Result<PathBuf> {
    let peer = Peer::Engines;
    let name = format!("peers/{}-{}", peer.name(), short(&recipe::fingerprint(peer, &[])));
    let folder = cache.filled_once(&name, |folder| {
        println!("making {} from packages", peer.title());
        tree::make(&folder.join("tree"), peer, &[]).context("install the packages")
    })?;
    Ok(folder.join("tree"))
}

fn short(text: &str) -> String {
    hex(&sha256(text.as_bytes())).chars().take(16).collect()
}
