//! A release into the slot that does not run: by patch, or in full, segment by segment over the slot's own bytes; then
//! the proof of the root, the boot entry under a name that no loader takes, and its right name. Blocks; runs beside the
//! runtime.

use std::io::{self, Read};
use std::ops::Range;
use std::time::Duration;

use keelson_image_layout::Release as Described;
use keelson_payload::{Cause, Index, PartName, PayloadFile};
use keelson_slot_store::room::NoRoom;
use keelson_slot_store::root::RootError;
use keelson_slot_store::{Begun, Resume, SealedRoot, SlotUpdate, UpdateError};
use keelson_tuf::{Body, Location};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::look::Release;
use super::running::RunningRelease;
use super::source::{Answer, Http};
use super::world::World;
use crate::agent::Failure;
use crate::agent::event::Cost;
use crate::transfer::{Place, Repository, TransferError, missing, transfer};
use crate::words::chain;

/// Room that the state partition must have for what is noted during an update.
const STATE_ROOM: u64 = 4 << 20;
/// Times in a row that a line may break without a segment's having come.
const ATTEMPTS: u32 = 4;

/// What a piece of work needs.
#[derive(Debug)]
pub struct Job {
    /// Where bytes come from.
    pub http: Http,
    /// The release.
    pub release: Release,
    /// Ends it.
    pub stop: CancellationToken,
    /// The runtime that moves the bytes.
    pub runtime: Handle,
    /// Bytes that one update may fetch, and how many had been fetched before it.
    pub budget: Option<(u64, u64)>,
}

impl Job {
    fn is_over_budget(&self) -> bool {
        let over = |(budget, before)| self.http.fetched() >= before + budget;
        self.budget.is_some_and(over)
    }
}

/// A slot with all of a release in it; only its entry is not visible yet.
#[derive(Debug)]
pub struct Written {
    update: SlotUpdate,
    /// `None` if the entry is visible already.
    sealed: Option<SealedRoot>,
    entry_bytes: u64,
}

/// What the slots are to be brought to.
fn slot_update(world: &World, release: &Release) -> Result<SlotUpdate, Failure> {
    let places = world.places.clone().ok_or_else(|| Failure::Machine {
        what: "this machine has no second slot to write: an installation medium, or a disk that cannot be used"
            .to_owned(),
    })?;
    let manifest = &release.manifest;
    let described = Described {
        format: 1,
        version: manifest.version.to_string(),
        kernel: String::new(),
        time: manifest.time,
        verity: manifest.verity.clone(),
    };
    Ok(SlotUpdate::new(
        places,
        world.running(),
        &described,
        manifest.parts.boot.sha256.0,
    ))
}

/// What a release costs, after all that can stand in its way was looked at.
///
/// # Errors
/// Too little room, or slots that may not be written.
pub fn describe(world: &World, release: &Release) -> Result<Cost, Failure> {
    let update = slot_update(world, release)?;
    if update.plan().map_err(|error| failure(&error))? == Resume::Staged {
        return Ok(Cost::default());
    }
    let entry = release.manifest.parts.boot.length;
    update.check_room(entry).map_err(|error| failure(&error))?;
    check_state(world)?;
    let parts = &release.manifest.parts;
    Ok(Cost {
        patch: release.patch.as_ref().map(|(patch, _)| patch.file.length),
        full: parts.root.full.length + parts.boot.full.length,
    })
}

fn check_state(world: &World) -> Result<(), Failure> {
    let room = rustix::fs::statvfs(&world.folder).map_err(|errno| Failure::Machine {
        what: format!("{}: {errno}", world.folder.display()),
    })?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free < STATE_ROOM {
        let what = format!(
            "the state partition has {free} bytes free, an update needs {STATE_ROOM}: remove images or volumes that \
             nobody needs"
        );
        return Err(Failure::Room { what });
    }
    Ok(())
}

/// Fetches and writes what is missing. `progress` is told of bytes in their place and of all there will be.
///
/// # Errors
/// The reason to wait; what is written stays and is found again.
pub fn write(world: &World, job: &Job, full: bool, progress: &dyn Fn(u64, u64)) -> Result<Written, Failure> {
    let patch = job.release.patch.is_some();
    match write_by(world, job, patch, progress) {
        Err(failure @ Failure::Unsound { .. }) if patch && full => {
            log::warn!(failure:? = failure; "the patch leads nowhere; the release is fetched in full");
            write_by(world, job, false, progress)
        }
        result => result,
    }
}

fn write_by(world: &World, job: &Job, patch: bool, progress: &dyn Fn(u64, u64)) -> Result<Written, Failure> {
    let update = slot_update(world, &job.release)?;
    let entry_bytes = job.release.manifest.parts.boot.length;
    let begun = update
        .begin(&mut |point| told(job, point))
        .map_err(|error| failure(&error))?;
    let Begun::Write(writer) = begun else {
        return Ok(Written {
            update,
            sealed: None,
            entry_bytes,
        });
    };
    let mut bringing = Bringing::new(world, job, patch, progress)?;
    bringing.part(PartName::Root, &writer)?;
    let sealed = writer
        .seal(&mut |point| told(job, point))
        .map_err(|error| of_root(&error))?;
    let entry = update.open_entry(entry_bytes).map_err(|error| failure(&error))?;
    bringing.part(PartName::Boot, &entry)?;
    drop(entry);
    Ok(Written {
        update,
        sealed: Some(sealed),
        entry_bytes,
    })
}

/// Reads the entry back and lets the loader see it.
///
/// # Errors
/// The reason to wait.
pub fn verify(written: &Written) -> Result<(), Failure> {
    let Some(sealed) = &written.sealed else { return Ok(()) };
    let entry = written.update.open_entry(written.entry_bytes);
    let published = entry.and_then(|entry| entry.publish(sealed, &mut |_| Ok(())));
    published.map_err(|error| failure(&error))
}

fn told(job: &Job, point: keelson_slot_store::Point) -> io::Result<()> {
    log::debug!(point:? = point; "slot update");
    if job.stop.is_cancelled() {
        return Err(io::Error::other("an operator holds updates"));
    }
    Ok(())
}

/// A release on its way.
struct Bringing<'a> {
    job: &'a Job,
    patch: bool,
    running: RunningRelease,
    progress: &'a dyn Fn(u64, u64),
    done: u64,
    total: u64,
}

impl<'a> Bringing<'a> {
    fn new(world: &World, job: &'a Job, patch: bool, progress: &'a dyn Fn(u64, u64)) -> Result<Bringing<'a>, Failure> {
        let esp = world
            .places
            .as_ref()
            .map(|places| places.esp.clone())
            .unwrap_or_default();
        let running = RunningRelease::open(&world.running_root, &esp, world.facts.slot);
        let running = running.map_err(|error| Failure::Machine {
            what: format!("the running root at {}: {error}", world.running_root.display()),
        })?;
        let parts = &job.release.manifest.parts;
        Ok(Bringing {
            job,
            patch,
            running,
            progress,
            done: 0,
            total: parts.root.length + parts.boot.length,
        })
    }

    /// Until nothing of a part is missing. A line that breaks is tried again as long as something came over it.
    fn part(&mut self, name: PartName, place: &dyn Place) -> Result<(), Failure> {
        let part = self.job.release.manifest.part(name);
        let before = self.done;
        let mut broken = 0;
        let mut index = None;
        loop {
            let missing = missing(part, place);
            self.done = before + part.length - bytes_of(part, &missing);
            (self.progress)(self.done, self.total);
            if missing.is_empty() {
                return Ok(());
            }
            let reached = self.done;
            let tried = self
                .index(&mut index, name)
                .and_then(|index| self.bring(&index, name, &missing, place));
            match tried {
                Ok(()) => {}
                Err(failure @ Failure::Network { .. }) => {
                    broken = if self.done > reached { 0 } else { broken + 1 };
                    if broken >= ATTEMPTS || self.job.stop.is_cancelled() {
                        return Err(failure);
                    }
                    self.pause(broken);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn pause(&self, broken: u32) {
        let pause = tokio::time::sleep;
        let stop = self.job.stop.cancelled();
        self.job.runtime.block_on(async {
            tokio::select! {
                () = pause(Duration::from_secs(1 << broken.min(5))) => {}
                () = stop => {}
            }
        });
    }

    /// The index of the file that brings a part, fetched once.
    fn index(&self, known: &mut Option<Index>, name: PartName) -> Result<Index, Failure> {
        if let Some(index) = known {
            return Ok(index.clone());
        }
        let (file, _) = self.file(name);
        let mut bytes = Vec::new();
        let head = 0..u64::from(file.index_length);
        let mut source = Source { bringing: self, name };
        let read = source
            .open(head)
            .and_then(|mut head| head.by_ref().take(u64::from(file.index_length)).read_to_end(&mut bytes));
        read.map_err(|error| self.stopped_or(Failure::Network { what: chain(&error) }))?;
        let manifest = &self.job.release.manifest;
        let index = match self.job.release.patch.as_ref().filter(|_| self.patch) {
            Some((patch, _)) => Index::of_patch(&bytes, manifest, patch),
            None => Index::of_full(&bytes, manifest, name),
        };
        let index = index.map_err(|error| match error {
            keelson_payload::IndexError::Digest => Failure::Network { what: chain(&error) },
            error => Failure::Unsound { what: chain(&error) },
        })?;
        *known = Some(index.clone());
        Ok(index)
    }

    fn file(&self, name: PartName) -> (&PayloadFile, &Location) {
        let release = &self.job.release;
        let [root, boot] = &release.full;
        match (release.patch.as_ref().filter(|_| self.patch), name) {
            (Some((patch, location)), _) => (&patch.file, location),
            (None, PartName::Root) => (&release.manifest.parts.root.full, root),
            (None, PartName::Boot | PartName::Loader) => (&release.manifest.parts.boot.full, boot),
        }
    }

    fn bring(&mut self, index: &Index, name: PartName, missing: &[u32], place: &dyn Place) -> Result<(), Failure> {
        let mut done = self.done;
        let (progress, total, stop) = (self.progress, self.total, &self.job.stop);
        let mut written = |bytes: u64| {
            done += bytes;
            progress(done, total);
            match stop.is_cancelled() {
                true => Err(io::Error::other("held")),
                false => Ok(()),
            }
        };
        let mut source = Source { bringing: self, name };
        let brought = transfer(index, (name, missing), &mut source, &self.running, place, &mut written);
        self.done = done;
        brought.map_err(|error| self.stopped_or(of_transfer(&error)))
    }

    /// Who was told to stop, or has fetched all it may, has no other failure.
    fn stopped_or(&self, failure: Failure) -> Failure {
        match self.job.budget {
            _ if self.job.stop.is_cancelled() => Failure::Network {
                what: "stopped".to_owned(),
            },
            Some((budget, _)) if self.job.is_over_budget() => Failure::Budget {
                needed: self.file(PartName::Root).0.length,
                budget,
            },
            _ => failure,
        }
    }
}

fn bytes_of(part: &keelson_payload::Part, numbers: &[u32]) -> u64 {
    numbers
        .iter()
        .filter_map(|number| part.segment_length(*number))
        .map(u64::from)
        .sum()
}

/// One file of the repository, for the transfer.
struct Source<'a, 'b> {
    bringing: &'a Bringing<'b>,
    name: PartName,
}

impl Repository for Source<'_, '_> {
    fn open(&mut self, range: Range<u64>) -> io::Result<Box<dyn Read + '_>> {
        let job = self.bringing.job;
        let (_, location) = self.bringing.file(self.name);
        let asked = job.http.range(location, range);
        let answer = job.runtime.block_on(until_stopped(&job.stop, asked))?;
        Ok(Box::new(Reading {
            job,
            answer,
            rest: bytes::Bytes::new(),
        }))
    }
}

async fn until_stopped<T>(
    stop: &CancellationToken,
    work: impl Future<Output = Result<T, keelson_tuf::FetchError>>,
) -> io::Result<T> {
    tokio::select! {
        done = work => done.map_err(io::Error::other),
        () = stop.cancelled() => Err(io::Error::other("stopped")),
    }
}

/// An answer as a reader.
struct Reading<'a> {
    job: &'a Job,
    answer: Answer,
    rest: bytes::Bytes,
}

impl Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            if self.job.is_over_budget() {
                return Err(io::Error::other("the byte budget is used up"));
            }
            let chunk = until_stopped(&self.job.stop, self.answer.chunk());
            self.rest = self.job.runtime.block_on(chunk)?.unwrap_or_default();
        }
        let piece = self.rest.split_to(buffer.len().min(self.rest.len()));
        if let Some(room) = buffer.get_mut(..piece.len()) {
            room.copy_from_slice(&piece);
        }
        Ok(piece.len())
    }
}

/// A patch that gives another content than it should leads nowhere, whoever is to blame.
fn of_transfer(error: &TransferError) -> Failure {
    match error {
        TransferError::Place(error) => failure(error),
        TransferError::Apply(apply) if matches!(apply.cause, Cause::Window { .. } | Cause::Result) => {
            Failure::Unsound { what: chain(error) }
        }
        error => error.failure(),
    }
}

/// What the slot says, as a reason to wait.
fn failure(error: &UpdateError) -> Failure {
    let what = chain(error);
    match error {
        UpdateError::NoRoom(NoRoom::Bytes { .. } | NoRoom::Records { .. }) => Failure::Room { what },
        UpdateError::Root(error) => of_root(error),
        UpdateError::Form(_) | UpdateError::OtherRelease { .. } => Failure::Unsound { what },
        UpdateError::Obstacle(_)
        | UpdateError::Record(_)
        | UpdateError::Esp(_)
        | UpdateError::Unreadable
        | UpdateError::Entry(_)
        | UpdateError::Digest
        | UpdateError::Stopped(_) => Failure::Machine { what },
    }
}

fn of_root(error: &RootError) -> Failure {
    let what = chain(error);
    match error {
        RootError::TooLarge { .. } => Failure::Room { what },
        RootError::Mismatch { .. } => Failure::Unsound { what },
        RootError::Partition { .. } | RootError::Outside { .. } | RootError::Tree { .. } | RootError::Stopped(_) => {
            Failure::Machine { what }
        }
    }
}
