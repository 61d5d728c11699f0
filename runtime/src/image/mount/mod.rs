//! Root file systems out of images.
//!
//! ```text
//! /run/keelson/images/HEX/meta      erofs, straight from images/HEX.erofs
//! /run/keelson/images/HEX/root      overlay 1, read-only: meta over the object store, shared
//! /run/keelson/images/HEX/users/U   one empty file per user
//! TARGET                            overlay 2: a container's upper over root
//! ```
//!
//! The second overlay has no metacopy, so that an upper is a plain one: whatever was touched is there
//! whole. With both, the kernel's stacking limit is reached. All state is in these directories and the
//! mount table, so that a restarted daemon finds what its predecessor mounted.

mod kernel;

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::mount::MountAttrFlags;

pub use kernel::MountError;
use kernel::MountOption::{Flag, Value};
use kernel::{is_mounted, mount, take_away};

use super::digest::ImageId;
use super::store::Store;

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

/// The mounts of images, below one run-time directory.
#[derive(Debug)]
pub struct Mounts {
    store: Arc<Store>,
    run: PathBuf,
    /// Held while users come and go: the last one takes the shared mounts along.
    users: Mutex<()>,
}

impl Mounts {
    /// Mounts of `store` below `run` (`/run/keelson/images`).
    ///
    /// # Errors
    /// [`MountError`] when the directory cannot be made.
    pub fn new(store: Arc<Store>, run: &Path) -> Result<Self, MountError> {
        make_dir(run)?;
        Ok(Self {
            store,
            run: run.to_owned(),
            users: Mutex::new(()),
        })
    }

    /// Mounts a container's root file system at `layer.target`; the image's shared part is mounted if it
    /// is not yet. Idempotent: mounted already is fine. Blocking: call from a blocking thread.
    ///
    /// # Errors
    /// [`MountError`]; nothing stays mounted for this container.
    pub fn mount_container(&self, image: &ImageId, layer: &ContainerLayer) -> Result<(), MountError> {
        let root = self.hold_image(image, &layer.container)?;
        let mounted = self.mount_upper(&root, layer);
        if mounted.is_err()
            && let Err(error) = self.release_image(image, &layer.container)
        {
            log::warn!(image:% = image, error:% = error; "image stays mounted");
        }
        mounted
    }

    /// Takes a container's root file system away, and the image's shared part with its last user.
    /// Idempotent. Blocking.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn unmount_container(&self, image: &ImageId, layer: &ContainerLayer) -> Result<(), MountError> {
        take_away(&layer.target)?;
        self.release_image(image, &layer.container)
    }

    /// Mounts an image read-only without any container (to read `/etc/passwd`, to copy contents into a
    /// volume) and returns the path of its root. `user` names who holds it until
    /// [`Mounts::release_image`].
    ///
    /// # Errors
    /// [`MountError`].
    pub fn hold_image(&self, image: &ImageId, user: &str) -> Result<PathBuf, MountError> {
        let _held = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = self.shared(image);
        for dir in [&shared.dir, &shared.meta, &shared.root, &shared.users] {
            make_dir(dir)?;
        }
        let mark = shared.users.join(user);
        fs::write(&mark, b"").map_err(MountError::step("mark as used", &mark))?;
        let mounted = self.mount_shared(image, &shared);
        if mounted.is_err() {
            let _ = fs::remove_file(&mark);
            let _ = leave(&shared);
        }
        mounted.map(|()| shared.root)
    }

    /// Ends what [`Mounts::hold_image`] began. Idempotent.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn release_image(&self, image: &ImageId, user: &str) -> Result<(), MountError> {
        let _held = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = self.shared(image);
        let mark = shared.users.join(user);
        missing_is_fine(fs::remove_file(&mark)).map_err(MountError::step("unmark", &mark))?;
        leave(&shared)
    }

    fn shared(&self, image: &ImageId) -> Shared {
        let dir = self.run.join(image.hex());
        Shared {
            meta: dir.join("meta"),
            root: dir.join("root"),
            users: dir.join("users"),
            dir,
        }
    }

    fn mount_shared(&self, image: &ImageId, shared: &Shared) -> Result<(), MountError> {
        let attributes =
            MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        if !is_mounted(&shared.meta) {
            let file = self.store.metadata_path(image);
            mount(
                "erofs",
                &[Value("source", file.as_os_str()), Flag("ro")],
                attributes,
                &shared.meta,
            )?;
        }
        if !is_mounted(&shared.root) {
            let objects = self.store.objects_dir();
            let options = [
                Value("source", "keelson".as_ref()),
                Value("lowerdir+", shared.meta.as_os_str()),
                Value("datadir+", objects.as_os_str()),
                Value("metacopy", "on".as_ref()),
                Value("redirect_dir", "on".as_ref()),
                Flag("ro"),
            ];
            mount("overlay", &options, attributes, &shared.root)?;
        }
        Ok(())
    }

    fn mount_upper(&self, root: &Path, layer: &ContainerLayer) -> Result<(), MountError> {
        if is_mounted(&layer.target) {
            return Ok(());
        }
        make_upper(&layer.upper, root)?;
        make_dir(&layer.work)?;
        make_dir(&layer.target)?;
        let options = [
            Value("source", "keelson".as_ref()),
            Value("lowerdir+", root.as_os_str()),
            Value("upperdir", layer.upper.as_os_str()),
            Value("workdir", layer.work.as_os_str()),
            Value("metacopy", "off".as_ref()),
            Value("redirect_dir", "off".as_ref()),
        ];
        mount("overlay", &options, MountAttrFlags::empty(), &layer.target)
    }
}

/// Paths of an image's shared part.
struct Shared {
    dir: PathBuf,
    meta: PathBuf,
    root: PathBuf,
    users: PathBuf,
}

/// Takes the shared part away if nobody uses it.
fn leave(shared: &Shared) -> Result<(), MountError> {
    let in_use = match fs::read_dir(&shared.users) {
        Ok(mut marks) => marks.next().is_some(),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(MountError::step("list", &shared.users)(error)),
    };
    if in_use {
        return Ok(());
    }
    for path in [&shared.root, &shared.meta] {
        take_away(path)?;
    }
    for dir in [&shared.root, &shared.meta, &shared.users, &shared.dir] {
        missing_is_fine(fs::remove_dir(dir)).map_err(MountError::step("remove", dir))?;
    }
    Ok(())
}

/// The root of the merged tree takes mode and owner of the upper: they must be the image's, from the
/// moment the upper exists.
fn make_upper(upper: &Path, root: &Path) -> Result<(), MountError> {
    if upper.exists() {
        return Ok(());
    }
    let fresh = upper.with_added_extension("new");
    make_dir(&fresh)?;
    let like = fs::metadata(root).map_err(MountError::step("read", root))?;
    std::os::unix::fs::chown(&fresh, Some(like.uid()), Some(like.gid()))
        .and_then(|()| fs::set_permissions(&fresh, fs::Permissions::from_mode(like.mode() & 0o7777)))
        .and_then(|()| fs::rename(&fresh, upper))
        .map_err(MountError::step("set up", upper))
}

fn make_dir(dir: &Path) -> Result<(), MountError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(MountError::step("make", dir))
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
#[path = "../mount_test.rs"]
mod tests;
