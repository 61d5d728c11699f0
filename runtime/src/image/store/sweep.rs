//! Deletes what nothing needs: mark from the records, sweep the directories. Never touches an object
//! that a record reaches; when a record or layer cannot be read, nothing is deleted.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::Store;
use super::commit::names_in;
use super::error::StoreError;
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

/// What a sweep deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Files of any kind.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Store {
    /// Deletes layers, metadata images and objects that no record reaches. The caller holds the gate.
    pub(super) fn sweep(&self) -> Result<Swept, StoreError> {
        let marked = self.mark()?;
        let mut swept = Swept::default();
        let reached = |suffix: &'static str, set: &HashSet<Digest>, name: &str| {
            name.strip_suffix(suffix)
                .map(|hex| Digest::from_hex(hex).is_ok_and(|digest| set.contains(&digest)))
        };
        sweep_dir(&self.layout.images(), &mut swept, |name| {
            // A record is its own reason to exist; only what belongs to none goes.
            reached(".erofs", &marked.images, name).unwrap_or(true)
        })?;
        sweep_dir(&self.layout.layers(), &mut swept, |name| {
            reached(".layer", &marked.layers, name).unwrap_or(true)
        })?;
        for fan in names_in(&self.layout.objects())? {
            let dir = self.layout.objects().join(&fan);
            let prefix = fan.to_string_lossy().into_owned();
            sweep_dir(&dir, &mut swept, |name| {
                reached("", &marked.objects, &format!("{prefix}{name}")).unwrap_or(true)
            })?;
        }
        log::debug!(files = swept.files, bytes = swept.bytes; "image store swept");
        Ok(swept)
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

    /// Clears what pulls were at work on when the machine stopped: undoes images that got no name,
    /// drops names of images that are not there, sweeps the rest.
    pub(super) fn recover(&self) -> Result<(), StoreError> {
        let staging = self.layout.staging();
        let leftovers = names_in(&staging)?;
        for name in &leftovers {
            let dir = staging.join(name);
            self.undo_unnamed(&dir.join(NEW_IMAGE))?;
            fs::remove_dir_all(&dir).map_err(StoreError::io("remove", &dir))?;
        }
        let ids: HashSet<Digest> = self.ids()?.into_iter().collect();
        self.change_names(|names| {
            names.retain_images(|id| ids.contains(id));
        })?;
        if !leftovers.is_empty() {
            let swept = self.sweep()?;
            log::info!(pulls = leftovers.len(), files = swept.files; "unfinished pulls removed");
        }
        Ok(())
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

fn sweep_dir(dir: &Path, swept: &mut Swept, keep: impl Fn(&str) -> bool) -> Result<(), StoreError> {
    for name in names_in(dir)? {
        if name.to_str().is_none_or(&keep) {
            continue;
        }
        let path = dir.join(&name);
        swept.bytes += fs::symlink_metadata(&path).map_or(0, |metadata| metadata.len());
        swept.files += 1;
        fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
    }
    Ok(())
}
