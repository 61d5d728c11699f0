//! stub
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::digest::ImageId;
use super::store::Store;

/// Why a mount failed.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// A step failed.
    #[error("cannot {step} {path}", path = path.display())]
    Step {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Where a container's own files lie. `upper` and `work` are on one file system; missing ones are made.
#[derive(Debug, Clone)]
pub struct ContainerLayer {
    /// The container's id.
    pub container: String,
    /// Receives everything the container writes; a plain overlay upper.
    pub upper: PathBuf,
    /// Overlay's own, empty.
    pub work: PathBuf,
    /// Where the root file system appears; the directory is made if missing.
    pub target: PathBuf,
}

/// The mounts of images, below one run-time directory. All state is in that directory and in the mount
/// table, so that a restarted daemon finds what its predecessor mounted.
#[derive(Debug)]
pub struct Mounts {
    store: Arc<Store>,
    run: PathBuf,
}

impl Mounts {
    /// Mounts of `store` below `run` (`/run/keelson/images`).
    ///
    /// # Errors
    /// [`MountError`] when the directory cannot be made.
    pub fn new(store: Arc<Store>, run: &Path) -> Result<Self, MountError> {
        Ok(Self {
            store,
            run: run.to_owned(),
        })
    }

    /// Mounts a container's root file system at `layer.target`; the image's shared part is mounted if it
    /// is not yet. Idempotent: mounted already is fine. Blocking: call from a blocking thread.
    ///
    /// # Errors
    /// [`MountError`]; nothing stays mounted for this container.
    pub fn mount_container(&self, image: &ImageId, layer: &ContainerLayer) -> Result<(), MountError> {
        let _ = (&self.store, &self.run, image, layer);
        todo!()
    }

    /// Takes a container's root file system away, and the image's shared part with its last user.
    /// Idempotent. Blocking.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn unmount_container(&self, image: &ImageId, layer: &ContainerLayer) -> Result<(), MountError> {
        let _ = (image, layer);
        todo!()
    }

    /// Mounts an image read-only without any container (to read `/etc/passwd`, to copy contents into a
    /// volume) and returns the path of its root. `user` names who holds it until
    /// [`Mounts::release_image`].
    ///
    /// # Errors
    /// [`MountError`].
    pub fn hold_image(&self, image: &ImageId, user: &str) -> Result<PathBuf, MountError> {
        let _ = (image, user);
        todo!()
    }

    /// Ends what [`Mounts::hold_image`] began. Idempotent.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn release_image(&self, image: &ImageId, user: &str) -> Result<(), MountError> {
        let _ = (image, user);
        todo!()
    }
}
