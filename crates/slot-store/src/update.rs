//! A release into the slot that does not run, in the order that leaves something to boot at every moment:
//!
//! ```text
//! record: writing → stale entry removed → root, flushed, read back, proven → tree, read back
//!   → entry under a name no loader takes, flushed, read back, proven → its name → record: trial
//! ```
//!
//! Any cut is taken up again by [`SlotUpdate::begin`], from slot, record and entries alone.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use keelson_image_layout::boot_entry::FRESH_TRIES;
use keelson_image_layout::slot_state::Found;
use keelson_image_layout::slot_state::update::{Refusal, Running, Wanted, begin, put_on_trial};
use keelson_image_layout::verity::VerityParams;
use keelson_image_layout::{BootFacts, EntryName, Release, Slot, SlotState};
use keelson_sys::block;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::entries::belongs_to;
use crate::entry_release::{EntryError, read_release};
use crate::esp::{Esp, EspError};
use crate::record::{RecordError, RecordStore};
use crate::resume::{Obstacle, Resume, Scene, plan_resume};
use crate::room::{NoRoom, decide_room, temporary};
use crate::root::{RootError, RootWriter, SealedRoot};

/// What was just done, for whoever watches; its error stops the update there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The record says that the slot is being written.
    Writing,
    /// The slot's old entry is gone.
    EntryRemoved,
    /// The root is on the medium.
    RootFlushed,
    /// It was read back and has its root hash.
    RootReadBack,
    /// So is its hash tree.
    TreeFlushed,
    /// The entry is on the medium under a name of its own.
    EntryFlushed,
    /// It was read back and belongs to the root.
    EntryReadBack,
    /// The loader sees it.
    EntryVisible,
    /// The record says that the slot is on trial.
    OnTrial,
}

/// Told of each step.
pub type Watch<'a> = &'a mut dyn FnMut(Point) -> io::Result<()>;

/// Where things are, for the slot that does not run.
#[derive(Debug, Clone)]
pub struct Places {
    /// Slot-state partition.
    pub record: PathBuf,
    /// EFI system partition.
    pub esp: PathBuf,
    /// Its root.
    pub root: PathBuf,
    /// Its hash tree.
    pub tree: PathBuf,
}

impl Places {
    /// Those of the slot that does not run; `None` on an installation medium, and before an initramfs told them.
    #[must_use]
    pub fn of(facts: &BootFacts) -> Option<Places> {
        let slots = facts.disk.slots.as_ref()?;
        let other = slots.get(facts.slot.other().index())?;
        Some(Places {
            record: facts.disk.slot_state.clone().into(),
            esp: facts.disk.esp.clone().into(),
            root: other.root.clone().into(),
            tree: other.tree.clone().into(),
        })
    }
}

/// Why a slot was not brought to a release.
#[derive(Debug, Error)]
pub enum UpdateError {
    /// It may not be, now or ever.
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
    /// The entry does not fit.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The EFI system partition.
    #[error(transparent)]
    Esp(#[from] EspError),
    /// The root.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The record cannot be read by this release.
    #[error("the slot-state record cannot be read, so nothing is written")]
    Unreadable,
    /// The entry's file cannot be written or read.
    #[error("the new boot entry cannot be written or read back")]
    Entry(#[source] io::Error),
    /// The entry reads back otherwise.
    #[error("the new boot entry reads back with another digest: the EFI system partition is not sound")]
    Digest,
    /// The entry does not say what it is.
    #[error(transparent)]
    Form(#[from] EntryError),
    /// The entry belongs to another root.
    #[error("the boot entry belongs to release {found}, not to the root that was written ({expected})")]
    OtherRelease {
        /// Version in the entry.
        found: String,
        /// Version that was asked for.
        expected: String,
    },
    /// Whoever watches stopped it.
    #[error("stopped")]
    Stopped(#[source] io::Error),
}

/// Bringing the other slot to a release.
#[derive(Debug)]
pub struct SlotUpdate {
    places: Places,
    running: Running,
    wanted: Wanted,
    params: VerityParams,
}

/// How an update begins.
#[derive(Debug)]
pub enum Begun {
    /// The root is to be written, or what is not right of it.
    Write(RootWriter),
    /// It is all there and on trial.
    Staged,
}

impl SlotUpdate {
    /// `release` and `entry_sha256` are what the signed description of the release says.
    #[must_use]
    pub fn new(places: Places, running: Running, release: &Release, entry_sha256: [u8; 32]) -> SlotUpdate {
        SlotUpdate {
            places,
            running,
            wanted: Wanted {
                version: release.version.clone(),
                root_hash: release.verity.root_hash,
                entry_sha256,
            },
            params: release.verity.clone(),
        }
    }

    /// The slot that is written.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.running.slot.other()
    }

    /// What is left to do; reads only.
    ///
    /// # Errors
    /// [`UpdateError::Obstacle`] when nothing may be written.
    pub fn plan(&self) -> Result<Resume, UpdateError> {
        let state = self.read_record()?;
        let esp = Esp::open(&self.places.esp)?;
        let names = esp.names()?;
        let scene = Scene {
            state: &state,
            running: self.running,
            names: &names,
            entry_sha256: self.entry_digest(&esp, &names),
        };
        Ok(plan_resume(&scene, &self.wanted)?)
    }

    fn read_record(&self) -> Result<SlotState, UpdateError> {
        match RecordStore::open(&self.places.record)?.read() {
            Found::Record(current) => Ok(current.state),
            Found::Nothing | Found::Newer { .. } => Err(UpdateError::Unreadable),
        }
    }

    /// An entry that cannot be read has no digest, and is replaced.
    fn entry_digest(&self, esp: &Esp, names: &[String]) -> Option<[u8; 32]> {
        let name = names.iter().find(|name| belongs_to(name, self.slot()))?;
        digest(&esp.read(name).ok()?).ok()
    }

    /// Whether an entry of `bytes` bytes fits; to be asked before anything is fetched.
    ///
    /// # Errors
    /// [`UpdateError::NoRoom`], with the figures.
    pub fn check_room(&self, bytes: u64) -> Result<(), UpdateError> {
        let room = Esp::open(&self.places.esp)?.room()?;
        Ok(decide_room(&room, self.slot(), bytes)?)
    }

    /// Begins, or takes up what was cut: record first, then the stale entry, and only then the slot. The slot's partitions
    /// are claimed before: if they cannot be written, the release in them stays what it is.
    ///
    /// # Errors
    /// [`UpdateError`]; the slot's root is untouched.
    pub fn begin(&self, watch: Watch<'_>) -> Result<Begun, UpdateError> {
        if self.is_staged(self.plan()?, watch)? {
            return Ok(Begun::Staged);
        }
        let writer = RootWriter::open(&self.places.root, &self.places.tree, self.params.clone())?;
        // Only now nobody else can be at it: what was decided before may have been overtaken.
        let resume = self.plan()?;
        if self.is_staged(resume, watch)? {
            return Ok(Begun::Staged);
        }
        if resume == Resume::Begin {
            self.change(|state| begin(state, &self.running, &self.wanted))?;
            watch(Point::Writing).map_err(UpdateError::Stopped)?;
        }
        let stale = Esp::open(&self.places.esp)?.names()?;
        for name in stale.iter().filter(|name| belongs_to(name, self.slot())) {
            remove_whatever_it_is(&self.places.esp, name)?;
            watch(Point::EntryRemoved).map_err(UpdateError::Stopped)?;
        }
        Ok(Begun::Write(writer))
    }

    /// Whether nothing is left to write; a record that lags behind is brought up.
    fn is_staged(&self, resume: Resume, watch: Watch<'_>) -> Result<bool, UpdateError> {
        match resume {
            Resume::Begin | Resume::Write => return Ok(false),
            Resume::Record => self.put_on_trial(watch)?,
            Resume::Staged => {}
        }
        Ok(true)
    }

    /// Opens the file of the new entry, of `bytes` bytes in the end; what a cut left of it is kept, if it can be read. A
    /// cut between its directory entry and the file allocation table leaves one that cannot, and that the kernel
    /// refuses to write.
    ///
    /// # Errors
    /// [`UpdateError::NoRoom`], [`UpdateError::Esp`].
    pub fn open_entry(&self, bytes: u64) -> Result<EntryWriter<'_>, UpdateError> {
        let esp = Esp::open(&self.places.esp)?;
        decide_room(&esp.room()?, self.slot(), bytes)?;
        let name = temporary(self.slot());
        let (esp, file) = match esp.create(&name).ok().filter(|file| digest(file).is_ok()) {
            Some(file) => (esp, file),
            None => {
                // The kernel has made the mount read-only; the next one is a new beginning.
                drop(esp);
                remove_whatever_it_is(&self.places.esp, &name)?;
                let esp = Esp::open(&self.places.esp)?;
                let file = esp.create(&name)?;
                (esp, file)
            }
        };
        Ok(EntryWriter {
            update: self,
            esp,
            file,
            bytes,
        })
    }

    /// Makes the entry visible, if it is what it should be, and puts the slot on trial.
    fn publish(&self, sealed: &SealedRoot, watch: Watch<'_>) -> Result<(), UpdateError> {
        let name = temporary(self.slot());
        let esp = Esp::open(&self.places.esp)?;
        let mut file = esp.read(&name)?;
        if digest(&file).map_err(UpdateError::Entry)? != self.wanted.entry_sha256 {
            return Err(UpdateError::Digest);
        }
        let release = read_release(&mut file)?;
        if release.verity != *sealed.params() || release.version != self.wanted.version {
            return Err(UpdateError::OtherRelease {
                found: release.version,
                expected: self.wanted.version.clone(),
            });
        }
        watch(Point::EntryReadBack).map_err(UpdateError::Stopped)?;
        esp.rename(&name, &EntryName::trial(self.slot(), FRESH_TRIES).to_string())?;
        watch(Point::EntryVisible).map_err(UpdateError::Stopped)?;
        self.put_on_trial(watch)
    }

    fn put_on_trial(&self, watch: Watch<'_>) -> Result<(), UpdateError> {
        self.change(|state| put_on_trial(state, &self.running, &self.wanted))?;
        watch(Point::OnTrial).map_err(UpdateError::Stopped)
    }

    fn change(&self, decide: impl Fn(&SlotState) -> Result<Option<SlotState>, Refusal>) -> Result<(), UpdateError> {
        let mut refused = None;
        RecordStore::open(&self.places.record)?.change(|state| {
            decide(state).unwrap_or_else(|refusal| {
                refused = Some(refusal);
                None
            })
        })?;
        refused.map_or(Ok(()), |refusal| Err(Obstacle::from(refusal).into()))
    }
}

/// A boot entry that no loader sees yet.
#[derive(Debug)]
pub struct EntryWriter<'a> {
    update: &'a SlotUpdate,
    esp: Esp,
    file: File,
    bytes: u64,
}

impl EntryWriter<'_> {
    /// Whether `len` bytes at `at` are already those with this SHA-256.
    #[must_use]
    pub fn holds(&self, at: u64, len: u64, sha256: &[u8; 32]) -> bool {
        let mut piece = vec![0; usize::try_from(len.min(self.bytes)).unwrap_or_default()];
        self.file.read_exact_at(&mut piece, at).is_ok() && <[u8; 32]>::from(Sha256::digest(&piece)) == *sha256
    }

    /// Writes a piece.
    ///
    /// # Errors
    /// [`UpdateError::Entry`].
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<(), UpdateError> {
        self.file.write_all_at(bytes, at).map_err(UpdateError::Entry)
    }

    /// Flushes, reads back through a mount of its own, and lets the loader see it. Needs the proven root.
    ///
    /// # Errors
    /// [`UpdateError`]; the entry is then not visible, or complete.
    pub fn publish(self, sealed: &SealedRoot, watch: Watch<'_>) -> Result<(), UpdateError> {
        let EntryWriter {
            update,
            esp,
            file,
            bytes,
        } = self;
        let flushed = file.set_len(bytes).and_then(|()| file.sync_all());
        flushed.map_err(UpdateError::Entry)?;
        esp.flush()?;
        block::forget(&file).map_err(UpdateError::Entry)?;
        watch(Point::EntryFlushed).map_err(UpdateError::Stopped)?;
        // With the last user of the mount the kernel forgets what it knows of the partition.
        drop((file, esp));
        update.publish(sealed, watch)
    }
}

/// Removes a name even where what it leads to is damaged: its clusters are free already, or belong to another name too.
/// The kernel complains of that after the name is gone; so each name is removed through a mount of its own, and only a
/// name that is still there is an error.
fn remove_whatever_it_is(esp: &Path, name: &str) -> Result<(), UpdateError> {
    let removed = Esp::open(esp)?.remove(name);
    let Err(error) = removed else { return Ok(()) };
    match Esp::open(esp)?.names()?.iter().any(|found| found == name) {
        true => Err(error.into()),
        false => Ok(()),
    }
}

fn digest(file: &File) -> io::Result<[u8; 32]> {
    let (mut hasher, mut buffer, mut at) = (Sha256::new(), vec![0; 1 << 20], 0);
    loop {
        match file.read_at(&mut buffer, at)? {
            0 => return Ok(hasher.finalize().into()),
            count => {
                hasher.update(buffer.get(..count).unwrap_or_default());
                at += count as u64;
            }
        }
    }
}

#[cfg(test)]
#[path = "update_test.rs"]
mod tests;
