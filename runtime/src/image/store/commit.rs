//! From the staging area into the store, step by step; a cut between any two leaves the store as it was.
//!
//! ```text
//! Flush ─► Objects ─► Layers ─► Metadata ─► Record ─► Names ─► Done
//! syncfs   rename,    rename,   rename,     durable   durable
//!          fsync      fsync     fsync       replace   replace
//!          dirs       dir       dir
//! ```
//!
//! Everything before `Record` is unnamed and swept by the next start; a record without a name is
//! undone by the note that the staging area holds.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use keelson_durable::{directory, replace};

use super::Store;
use super::error::StoreError;
use super::staging::Staging;
use crate::image::digest::{Digest, ImageId};
use crate::image::record::StoredImage;
use crate::image::reference::Reference;

/// The next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Everything staged reaches the disk.
    Flush,
    /// Objects get their places.
    Objects,
    /// Split streams get their places.
    Layers,
    /// The metadata image gets its place.
    Metadata,
    /// The image exists.
    Record,
    /// The image has its name.
    Names,
    /// All is done.
    Done,
}

/// A commit under way.
pub struct Commit<'a> {
    /// The store.
    pub store: &'a Store,
    /// What is committed.
    pub staging: &'a Staging,
    /// The image.
    pub id: ImageId,
    /// Its record.
    pub image: StoredImage,
    /// The name that was pulled.
    pub reference: Reference,
    /// Digest of the manifest as pulled.
    pub digest: Digest,
}

impl Commit<'_> {
    /// Takes all steps.
    pub fn run(&self) -> Result<(), StoreError> {
        let mut step = Step::Flush;
        while step != Step::Done {
            step = self.advance(step)?;
        }
        Ok(())
    }

    /// Takes one step and says which is next.
    pub fn advance(&self, step: Step) -> Result<Step, StoreError> {
        let layout = &self.store.layout;
        match step {
            Step::Flush => {
                self.flush()?;
                Ok(Step::Objects)
            }
            Step::Objects => {
                self.publish_objects()?;
                Ok(Step::Layers)
            }
            Step::Layers => {
                for name in names_in(&self.staging.layers())? {
                    rename(&self.staging.layers().join(&name), &layout.layers().join(&name))?;
                }
                sync_dir(&layout.layers())?;
                Ok(Step::Metadata)
            }
            Step::Metadata => {
                rename(&self.staging.metadata(), &layout.metadata(&self.id))?;
                sync_dir(&layout.images())?;
                Ok(Step::Record)
            }
            Step::Record => {
                self.write_record()?;
                Ok(Step::Names)
            }
            Step::Names => {
                let set = |names: &mut super::Names| names.set_pulled(&self.reference, self.digest, self.id);
                self.store.change_names(set)?;
                Ok(Step::Done)
            }
            Step::Done => Ok(Step::Done),
        }
    }

    fn flush(&self) -> Result<(), StoreError> {
        if !self.store.layout.record(&self.id).exists() {
            self.staging.note_image(&self.id)?;
        }
        let dir = self.store.layout.dir();
        File::open(dir)
            .and_then(|dir| rustix::fs::syncfs(&dir).map_err(Into::into))
            .map_err(StoreError::io("flush", dir))
    }

    fn publish_objects(&self) -> Result<(), StoreError> {
        let layout = &self.store.layout;
        let mut changed = BTreeSet::new();
        for name in names_in(&self.staging.objects())? {
            let Some(object) = name.to_str().and_then(|hex| Digest::from_hex(hex).ok()) else {
                continue;
            };
            let place = layout.object(&object);
            if let Some(fan) = place.parent().map(Path::to_owned)
                && changed.insert(fan.clone())
            {
                directory(&fan, 0o700).map_err(StoreError::io("make", &fan))?;
            }
            rename(&self.staging.objects().join(&name), &place)?;
        }
        changed.iter().try_for_each(|fan| sync_dir(fan))
    }

    fn write_record(&self) -> Result<(), StoreError> {
        let path = self.store.layout.record(&self.id);
        let bytes = serde_json::to_vec(&self.image).map_err(|source| StoreError::Damaged {
            path: path.clone(),
            source,
        })?;
        replace(&path, &bytes, 0o600).map_err(StoreError::io("write", &path))
    }
}

/// Names in a directory.
pub fn names_in(dir: &Path) -> Result<Vec<OsString>, StoreError> {
    fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect())
        .map_err(StoreError::io("list", dir))
}

fn rename(from: &PathBuf, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(StoreError::io("move into place", to))
}

fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(StoreError::io("flush", dir))
}
