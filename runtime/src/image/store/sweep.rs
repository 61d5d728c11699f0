//! Deletes what nothing needs: mark from the records, sweep the directories. Never touches an object
//! that a record reaches; when a record or layer cannot be read, nothing is deleted.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Store;
use super::commit::names_in;
use super::error::StoreError;
use super::gate::Extent;
use super::staging::NEW_IMAGE;
use crate::image::digest::Digest;
use crate::image::ingest::SplitReader;
use crate::image::record::StoredImage;

/// What records reach.
#[derive(Debug, Default)]
struct Marked {
    images: HashSet<Digest>,
    layers: HashSet<Digest>,
    objects: HashSet<Digest>,
}

/// A sweep under way.
struct Sweep<'a> {
    stop: &'a dyn Fn() -> bool,
    files: u64,
    bytes: u64,
}

impl Store {
    /// Does what removals, pulls and cuts left to delete, if anything is owed and no pull is at work.
    /// Blocking, and long: unlinking is work for the file system.
    ///
    /// # Errors
    /// [`StoreError`]; what could not be marked or deleted stays until the next sweep.
    pub fn settle(&self) -> Result<(), StoreError> {
        let note = self.layout.sweep_note();
        let work = |stop: &dyn Fn() -> bool| {
            let extent = self.sweep(stop)?;
            if extent == Extent::Whole && !self.gate.is_owed() {
                fs::remove_dir(&note)
                    .or_else(missing_is_fine)
                    .map_err(StoreError::io("remove", &note))?;
            }
            Ok(extent)
        };
        self.gate.sweep(work).transpose().map(|_| ())
    }

    /// [`Store::settle`] on a thread of its own.
    pub(in crate::image) fn settle_later(self: &Arc<Self>) {
        if !self.gate.is_owed() {
            return;
        }
        let store = Arc::clone(self);
        let work = move || {
            if let Err(error) = store.settle() {
                log::warn!(error:% = error; "image store not swept");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("image-sweep".to_owned()).spawn(work) {
            log::warn!(error:% = error; "image store not swept");
        }
    }

    /// Notes, durably, that a sweep is owed.
    pub(super) fn owe_sweep(&self) -> Result<(), StoreError> {
        let note = self.layout.sweep_note();
        keelson_durable::directory(&note, 0o700).map_err(StoreError::io("make", &note))?;
        self.gate.owe();
        Ok(())
    }

    /// Deletes layers, metadata images and objects that no record reaches.
    fn sweep(&self, stop: &dyn Fn() -> bool) -> Result<Extent, StoreError> {
        let marked = self.mark()?;
        let mut sweep = Sweep {
            stop,
            files: 0,
            bytes: 0,
        };
        let reached = |suffix: &'static str, set: &HashSet<Digest>, name: &str| {
            let hex = name.strip_suffix(suffix)?;
            Some(Digest::from_hex(hex).is_ok_and(|digest| set.contains(&digest)))
        };
        // Records are their own reason to exist, and so is what has another ending.
        let mut extent = sweep.dir(&self.layout.images(), |name| {
            reached(".erofs", &marked.images, name).unwrap_or(true)
        })?;
        if extent == Extent::Whole {
            extent = sweep.dir(&self.layout.layers(), |name| {
                reached(".layer", &marked.layers, name).unwrap_or(true)
            })?;
        }
        for fan in names_in(&self.layout.objects())? {
            if extent == Extent::Part {
                break;
            }
            let prefix = fan.to_string_lossy().into_owned();
            extent = sweep.dir(&self.layout.objects().join(&fan), |name| {
                reached("", &marked.objects, &format!("{prefix}{name}")).unwrap_or(true)
            })?;
        }
        log::debug!(files = sweep.files, bytes = sweep.bytes; "image store swept");
        Ok(extent)
    }

    fn mark(&self) -> Result<Marked, StoreError> {
        let mut marked = Marked::default();
        for id in self.ids()? {
            let image = self.stored(&id)?;
            marked.images.insert(id);
            for layer in image.layers {
                if marked.layers.insert(layer.diff_id) {
                    self.mark_objects(&layer.diff_id, &mut marked.objects)?;
                }
            }
        }
        Ok(marked)
    }

    fn mark_objects(&self, diff_id: &Digest, objects: &mut HashSet<Digest>) -> Result<(), StoreError> {
        let path = self.layout.layer(diff_id);
        let mut mark = || -> io::Result<()> {
            let mut reader = SplitReader::new(File::open(&path)?)?;
            while let Some((object, _)) = reader.next_object()? {
                objects.insert(object);
            }
            Ok(())
        };
        mark().map_err(StoreError::io("read", &path))
    }

    /// Clears what was at work when the machine stopped: undoes images that got no name, drops names of
    /// images that are not there, and owes a sweep for the rest.
    pub(super) fn recover(&self) -> Result<(), StoreError> {
        let staging = self.layout.staging();
        let leftovers = names_in(&staging)?;
        if !leftovers.is_empty() {
            self.owe_sweep()?;
        }
        for dir in leftovers.iter().map(|name| staging.join(name)) {
            if dir == self.layout.sweep_note() {
                continue;
            }
            self.undo_unnamed(&dir.join(NEW_IMAGE))?;
            fs::remove_dir_all(&dir).map_err(StoreError::io("remove", &dir))?;
            log::info!(path:% = dir.display(); "unfinished pull removed");
        }
        let ids: HashSet<Digest> = self.ids()?.into_iter().collect();
        self.change_names(|names| names.retain_images(|id| ids.contains(id)))
    }

    fn undo_unnamed(&self, note: &Path) -> Result<(), StoreError> {
        let Some(id) = fs::read_to_string(note)
            .ok()
            .and_then(|hex| Digest::from_hex(&hex).ok())
        else {
            return Ok(());
        };
        if self.lock_names().names_image(&id) {
            return Ok(());
        }
        let record = self.layout.record(&id);
        keelson_durable::remove(&record).map_err(StoreError::io("remove", &record))
    }

    /// The record of an image.
    pub(super) fn stored(&self, id: &Digest) -> Result<StoredImage, StoreError> {
        let path = self.layout.record(id);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::NoSuchImage { name: id.to_string() });
            }
            bytes => bytes.map_err(StoreError::io("read", &path))?,
        };
        serde_json::from_slice(&bytes).map_err(|source| StoreError::Damaged { path, source })
    }
}

impl Sweep<'_> {
    /// Deletes the files of a directory that are not to be kept.
    fn dir(&mut self, dir: &Path, keep: impl Fn(&str) -> bool) -> Result<Extent, StoreError> {
        for name in names_in(dir)? {
            if (self.stop)() {
                return Ok(Extent::Part);
            }
            if name.to_str().is_none_or(&keep) {
                continue;
            }
            let path = dir.join(&name);
            self.bytes += fs::symlink_metadata(&path).map_or(0, |metadata| metadata.len());
            self.files += 1;
            fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        }
        Ok(Extent::Whole)
    }
}

fn missing_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}
