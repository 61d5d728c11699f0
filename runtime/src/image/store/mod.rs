//! Images on the state partition: records, names, layers, objects. Durable by construction: what a
//! record names is whole on disk, what no record names does not count. Bytes: docs/formats/container-store.md.

mod commit;
mod error;
mod gate;
mod layout;
mod metadata;
mod names;
mod staging;
mod sweep;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keelson_durable::{directory, replace};
use serde::{Deserialize, Serialize};

pub use commit::Commit;
#[cfg(test)]
pub use commit::Step;
pub use error::StoreError;
use gate::{Entered, Gate};
use layout::Layout;
use names::Names;
pub use staging::Staging;

use super::digest::{Digest, ImageId};
use super::ingest::SplitReader;
use super::record::{ImageRecord, StoredImage};
use super::reference::Reference;
use super::room::{NoRoom, Room};

/// Format this release writes, and the least that a reader must know.
const FORMAT: StoreFormat = StoreFormat {
    format: 1,
    min_reader: 1,
};

/// The file `format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct StoreFormat {
    format: u32,
    min_reader: u32,
}

/// What a removal did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    /// Familiar names that are gone.
    pub untagged: Vec<String>,
    /// The image, if it is gone too.
    pub deleted: Option<ImageId>,
}

/// The images on the state partition. Shared by reference; methods are blocking and short.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    names: Mutex<Names>,
    gate: Gate,
    pulls: AtomicU64,
    room: Room,
}

impl Store {
    /// Opens the store below `dir` (`/state/containers`), making it if missing; sweeps away what a cut
    /// left half-done.
    ///
    /// # Errors
    /// [`StoreError`]; a store of a newer format is refused.
    pub fn open(dir: &Path) -> Result<Arc<Self>, StoreError> {
        Self::open_within(dir, Room::of(dir))
    }

    /// Opens it with another notion of the room there is.
    pub(super) fn open_within(dir: &Path, room: Room) -> Result<Arc<Self>, StoreError> {
        let layout = Layout::new(dir);
        for dir in [
            layout.dir().to_owned(),
            layout.objects(),
            layout.layers(),
            layout.images(),
            layout.staging(),
        ] {
            directory(&dir, 0o700).map_err(StoreError::io("make", &dir))?;
        }
        check_format(&layout.format())?;
        let names = read_names(&layout.names())?;
        let store = Self {
            layout,
            names: Mutex::new(names),
            gate: Gate::default(),
            pulls: AtomicU64::new(0),
            room,
        };
        store.recover()?;
        let store = Arc::new(store);
        store.settle_later();
        Ok(store)
    }

    /// All images, by id. One whose record is damaged is logged and left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn images(&self) -> Result<Vec<ImageRecord>, StoreError> {
        let mut images = Vec::new();
        for id in self.ids()? {
            match self.record(&id) {
                Ok(image) => images.push(image),
                Err(StoreError::NoSuchImage { .. }) => {}
                Err(error) => log::warn!(image:% = id, error:% = error; "image left out"),
            }
        }
        Ok(images)
    }

    /// Finds an image by name, by name and digest, by full id, or by a unique prefix of the id.
    ///
    /// # Errors
    /// [`StoreError::NoSuchImage`].
    pub fn image(&self, name: &str) -> Result<ImageRecord, StoreError> {
        self.record(&self.find(name)?)
    }

    /// The id of an image, found like [`Store::image`].
    ///
    /// # Errors
    /// [`StoreError::NoSuchImage`], [`StoreError::Ambiguous`].
    pub fn find(&self, name: &str) -> Result<ImageId, StoreError> {
        if let Ok(id) = name.parse::<Digest>()
            && self.layout.record(&id).exists()
        {
            return Ok(id);
        }
        if let Some(id) = name
            .parse()
            .ok()
            .and_then(|reference| self.lock_names().find(&reference))
        {
            return Ok(id);
        }
        let prefix = name.strip_prefix("sha256:").unwrap_or(name);
        find_by_prefix(&self.ids()?, prefix, name)
    }

    /// Gives an image one more name, taking it from the image that had it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tag(&self, id: &ImageId, reference: &Reference) -> Result<(), StoreError> {
        self.stored(id)?;
        self.change_names(|names| names.set(reference, *id))
    }

    /// Removes one name; the image goes with its last one, and its files when no other image needs
    /// them.
    ///
    /// # Errors
    /// [`StoreError::NoSuchImage`] when nothing has the name.
    pub fn untag(self: &Arc<Self>, reference: &Reference) -> Result<Removed, StoreError> {
        let missing = || StoreError::NoSuchImage {
            name: reference.familiar(),
        };
        let id = self.lock_names().find(reference).ok_or_else(missing)?;
        let mut untagged = Vec::new();
        self.change_names(|names| untagged = names.remove(reference))?;
        if self.lock_names().names_image(&id) {
            return Ok(Removed {
                untagged,
                deleted: None,
            });
        }
        let removed = self.remove(&id)?;
        Ok(Removed { untagged, ..removed })
    }

    /// Removes an image with all its names. Whether it is in use is the caller's to know. Files that no
    /// other image needs are deleted later, by a thread of the store's own.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove(self: &Arc<Self>, id: &ImageId) -> Result<Removed, StoreError> {
        if !self.layout.record(id).exists() {
            return Err(StoreError::NoSuchImage { name: id.to_string() });
        }
        // A sweep between the note and the end of the record would take the note away too early.
        let no_sweep = self.gate.enter();
        self.owe_sweep()?;
        let mut untagged = Vec::new();
        self.change_names(|names| untagged = names.remove_image(id))?;
        let record = self.layout.record(id);
        keelson_durable::remove(&record).map_err(StoreError::io("remove", &record))?;
        drop(no_sweep);
        self.settle_later();
        Ok(Removed {
            untagged,
            deleted: Some(*id),
        })
    }

    /// Where the object of a digest lies.
    #[must_use]
    pub fn object_path(&self, object: &Digest) -> PathBuf {
        self.layout.object(object)
    }

    /// The directory of objects, overlay's data layer.
    #[must_use]
    pub fn objects_dir(&self) -> PathBuf {
        self.layout.objects()
    }

    /// The metadata image of an image.
    #[must_use]
    pub fn metadata_path(&self, id: &ImageId) -> PathBuf {
        self.layout.metadata(id)
    }

    /// Whether a layer is here.
    pub(super) fn has_layer(&self, diff_id: &Digest) -> bool {
        self.layout.layer(diff_id).exists()
    }

    /// Bytes of a layer's tar.
    pub(super) fn layer_size(&self, diff_id: &Digest) -> Result<u64, StoreError> {
        let path = self.layout.layer(diff_id);
        fs::File::open(&path)
            .and_then(|file| SplitReader::new(file)?.remaining_tar())
            .map_err(StoreError::io("read", &path))
    }

    /// The record of an image, if it is here.
    pub(super) fn existing(&self, id: &ImageId) -> Option<StoredImage> {
        self.stored(id).ok()
    }

    /// The image that a reference names now.
    pub(super) fn named(&self, reference: &Reference) -> Option<ImageId> {
        self.lock_names().find(reference)
    }

    /// Begins a pull: nothing is swept while it is at work.
    pub(super) fn enter(&self) -> Entered<'_> {
        self.gate.enter()
    }

    /// A fresh staging area.
    pub(super) fn stage(&self) -> Result<Staging, StoreError> {
        Staging::create(&self.layout, &self.room, self.pulls.fetch_add(1, Ordering::Relaxed))
    }

    /// Refuses a pull that would write this many bytes into the partition's reserve.
    pub(super) fn check_room(&self, needs: u64) -> Result<(), NoRoom> {
        self.room.check(needs)
    }

    /// Names an image that is here already as pulled.
    pub(super) fn name_pulled(&self, reference: &Reference, digest: Digest, id: ImageId) -> Result<(), StoreError> {
        self.change_names(|names| names.set_pulled(reference, digest, id))
    }

    fn record(&self, id: &ImageId) -> Result<ImageRecord, StoreError> {
        let stored = self.stored(id)?;
        let path = self.layout.record(id);
        let names = self.lock_names().familiar(id);
        stored
            .into_record(*id, names.tags, names.digests)
            .map_err(|source| StoreError::Damaged { path, source })
    }

    /// Ids of all records.
    fn ids(&self) -> Result<Vec<ImageId>, StoreError> {
        let mut ids: Vec<ImageId> = commit::names_in(&self.layout.images())?
            .iter()
            .filter_map(|name| Digest::from_hex(name.to_str()?.strip_suffix(".json")?).ok())
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Changes the table of names: durable before anyone sees it.
    fn change_names(&self, change: impl FnOnce(&mut Names)) -> Result<(), StoreError> {
        let mut names = self.lock_names();
        let mut changed = names.clone();
        change(&mut changed);
        if changed == *names {
            return Ok(());
        }
        let path = self.layout.names();
        let bytes = serde_json::to_vec_pretty(&changed).map_err(|source| StoreError::Damaged {
            path: path.clone(),
            source,
        })?;
        replace(&path, &bytes, 0o600).map_err(StoreError::io("write", &path))?;
        *names = changed;
        Ok(())
    }

    fn lock_names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find_by_prefix(ids: &[ImageId], prefix: &str, name: &str) -> Result<ImageId, StoreError> {
    let hex = !prefix.is_empty() && prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut found = ids.iter().filter(|id| hex && id.hex().starts_with(prefix));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(*id),
        (Some(_), Some(_)) => Err(StoreError::Ambiguous {
            prefix: prefix.to_owned(),
        }),
        (None, _) => Err(StoreError::NoSuchImage { name: name.to_owned() }),
    }
}

/// Writes the format of a new store, and refuses one that this release cannot read.
fn check_format(path: &Path) -> Result<(), StoreError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let bytes = serde_json::to_vec(&FORMAT).map_err(|source| StoreError::Damaged {
                path: path.to_owned(),
                source,
            })?;
            return replace(path, &bytes, 0o600).map_err(StoreError::io("write", path));
        }
        bytes => bytes.map_err(StoreError::io("read", path))?,
    };
    let found: StoreFormat = serde_json::from_slice(&bytes).map_err(|source| StoreError::Damaged {
        path: path.to_owned(),
        source,
    })?;
    if found.min_reader > FORMAT.format {
        return Err(StoreError::Format {
            needed: found.min_reader,
            known: FORMAT.format,
        });
    }
    Ok(())
}

fn read_names(path: &Path) -> Result<Names, StoreError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Names::default()),
        bytes => serde_json::from_slice(&bytes.map_err(StoreError::io("read", path))?).map_err(|source| {
            StoreError::Damaged {
                path: path.to_owned(),
                source,
            }
        }),
    }
}

#[cfg(test)]
#[path = "../store_test.rs"]
mod tests;
