//! A disk from what it was to a system disk.
//!
//! ```text
//! old tables gone, flushed → ESP, slot state, roots, state, flushed → read back from the medium → table
//! ```
//!
//! The partition table comes last: a disk that was left anywhere before has none, and no firmware starts from it.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::time::Instant;

use keelson_image_layout::boot_entry::FRESH_TRIES;
use keelson_image_layout::partitions::{ALIGNMENT, SECTOR};
use keelson_image_layout::slot_state::COPY_OFFSETS;
use keelson_image_layout::verity::RootHash;
use keelson_image_layout::{EntryName, Part, Reason, Slot, SlotRecord, SlotState, State};
use keelson_sys::block;
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

use crate::esp::{self, Contents, EspError, Held};
use crate::memory::Memory;
use crate::meter::{Meter, Progress};
use crate::region::Region;
use crate::source::{Source, tree_of};
use crate::table::{self, TableError, size_on};
use crate::template::{self, TemplateError};

/// Bytes written or read between two reports.
const CHUNK: usize = 4 << 20;
/// More than the tables of a FAT volume of the ESP's size need.
const FAT_TABLES: u64 = 2 << 20;

/// Why a disk was not finished.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The disk refused.
    #[error("the disk cannot be written or read while {step}")]
    Disk {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The EFI system partition could not be made.
    #[error(transparent)]
    Esp(#[from] EspError),
    /// The state file system could not be made.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The partition table could not be made.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The release does not fit its partitions.
    #[error("{bytes} bytes do not fit partition {partition}")]
    TooLarge {
        /// Name of the partition.
        partition: &'static str,
        /// Bytes there would be.
        bytes: u64,
    },
    /// What the disk gives back is not what was written.
    #[error("slot {slot} does not read back as it was written: the disk is not sound")]
    ReadBack {
        /// The slot.
        slot: Slot,
    },
    /// Whoever asked for it went away.
    #[error("stopped on request")]
    Stopped,
}

/// Told how far it is; an error stops the work.
pub type Report<'a> = &'a mut dyn FnMut(&Progress) -> io::Result<()>;

/// Writes `source` onto `disk`, a device of `bytes` bytes that nobody else uses. `ids` gives an identity for the disk,
/// each partition and the ESP; `config` goes onto the ESP as the machine's provisioning document.
///
/// # Errors
/// See [`InstallError`]; the disk then has no partition table.
pub fn install(
    disk: &File,
    bytes: u64,
    source: &Source,
    config: Option<&str>,
    ids: &dyn Fn(&str) -> Uuid,
    report: Report<'_>,
) -> Result<(), InstallError> {
    let (pieces, state_bytes) = template::unpack(&source.state, size_on(Part::State, bytes))?;
    let mut work = Work::new(disk, source, state_bytes, report);
    let table = plan_table(bytes, ids)?;
    work.erase(bytes)?;
    work.write_esp(config, ids)?;
    work.write_slot_state()?;
    for slot in Slot::ALL {
        work.write_root(slot)?;
    }
    work.write_state(&pieces, state_bytes)?;
    work.flush("flushing")?;
    for slot in Slot::ALL {
        work.read_back(slot)?;
    }
    work.write_table(&table)
}

/// The table's sectors, made in memory.
fn plan_table(bytes: u64, ids: &dyn Fn(&str) -> Uuid) -> Result<Memory, TableError> {
    let mut memory = Memory::new(bytes / SECTOR * SECTOR);
    table::write(&mut memory, bytes / SECTOR * SECTOR, ids)?;
    Ok(memory)
}

/// Both slots on trial with the same release, as bytes of a record.
#[must_use]
pub fn fresh_record(version: &str, root_hash: &RootHash, entry: &[u8]) -> Vec<u8> {
    let slot = SlotRecord {
        state: State::Trial,
        tries: FRESH_TRIES,
        reason: Reason::None,
        version: SlotRecord::version_bytes(version),
        root_hash: root_hash.0,
        uki_sha256: Sha256::digest(entry).into(),
        config_digest: [0; 32],
    };
    SlotState::new([slot.clone(), slot]).encode().to_vec()
}

/// The ESP of a fresh disk: what every machine has, one entry on trial for each slot, and the machine's own document.
#[must_use]
pub fn fresh_esp(source: &Source, config: Option<&str>, id: u32) -> Contents {
    let mut files = source.esp.clone();
    files.extend(Slot::ALL.map(|slot| Held {
        path: format!("{}/{}", esp::ENTRIES, EntryName::trial(slot, FRESH_TRIES)),
        bytes: source.entry.clone(),
    }));
    files.extend(config.map(|text| Held {
        path: "keelson/config.toml".to_owned(),
        bytes: text.as_bytes().to_vec(),
    }));
    Contents {
        files,
        id,
        time: source.time,
    }
}

struct Work<'a> {
    disk: &'a File,
    is_device: bool,
    source: &'a Source,
    meter: Meter,
    begun: Instant,
    report: Report<'a>,
}

impl<'a> Work<'a> {
    fn new(disk: &'a File, source: &'a Source, state_bytes: u64, report: Report<'a>) -> Work<'a> {
        let (root, tree) = (source.root_bytes(), source.tree.bytes.len() as u64);
        // Each slot is written once and read once.
        let total = esp_bytes(source) + 4 * (root + tree) + state_bytes;
        Work {
            is_device: disk.metadata().is_ok_and(|meta| meta.file_type().is_block_device()),
            disk,
            source,
            meter: Meter::new(total),
            begun: Instant::now(),
            report,
        }
    }

    fn advance(&mut self, step: &'static str, bytes: u64) -> Result<(), InstallError> {
        self.meter.add(bytes);
        let progress = self.meter.progress(step, self.begun.elapsed());
        (self.report)(&progress).map_err(|_| InstallError::Stopped)
    }

    /// Makes bytes of the disk zero.
    fn zero(&mut self, step: &'static str, start: u64, len: u64) -> Result<(), InstallError> {
        let failed = |source| InstallError::Disk { step, source };
        let zeros = vec![0; CHUNK];
        let mut at = start;
        while at < start + len {
            let count = (start + len - at).min(CHUNK as u64);
            let aligned = at.is_multiple_of(SECTOR) && count.is_multiple_of(SECTOR);
            if !(self.is_device && aligned && block::zero_out(self.disk, at, count).is_ok()) {
                let piece = zeros.get(..count as usize).unwrap_or_default();
                self.disk.write_all_at(piece, at).map_err(failed)?;
            }
            at += count;
            self.advance(step, 0)?;
        }
        Ok(())
    }

    fn flush(&mut self, step: &'static str) -> Result<(), InstallError> {
        self.advance(step, 0)?;
        self.disk
            .sync_all()
            .map_err(|source| InstallError::Disk { step, source })
    }

    /// Takes the old tables away first of all: nothing half written is ever behind a valid one.
    fn erase(&mut self, bytes: u64) -> Result<(), InstallError> {
        self.zero("erasing", 0, ALIGNMENT)?;
        self.zero("erasing", bytes - ALIGNMENT, ALIGNMENT)?;
        self.flush("erasing")
    }

    fn write_esp(&mut self, config: Option<&str>, ids: &dyn Fn(&str) -> Uuid) -> Result<(), InstallError> {
        let [a, b, c, d, ..] = *ids("esp file system").as_bytes();
        let contents = fresh_esp(self.source, config, u32::from_be_bytes([a, b, c, d]));
        let len = Part::Esp.size().unwrap_or_default();
        let used = FAT_TABLES
            + contents
                .files
                .iter()
                .map(|file| file.bytes.len() as u64 + 8192)
                .sum::<u64>();
        self.zero("writing", Part::Esp.start(), used.min(len))?;
        esp::write_volume(&mut Region::new(self.disk, Part::Esp.start(), len), len, &contents)?;
        self.advance("writing", esp_bytes(self.source))
    }

    fn write_slot_state(&mut self) -> Result<(), InstallError> {
        self.zero("writing", Part::SlotState.start(), size_on(Part::SlotState, 0))?;
        let tree = &self.source.tree.params;
        let record = fresh_record(&self.source.version, &tree.root_hash, &self.source.entry);
        let written = COPY_OFFSETS
            .iter()
            .try_for_each(|offset| self.disk.write_all_at(&record, Part::SlotState.start() + offset));
        written.map_err(|source| InstallError::Disk {
            step: "writing",
            source,
        })
    }

    fn write_root(&mut self, slot: Slot) -> Result<(), InstallError> {
        let source = self.source;
        let tree = source.tree.bytes.as_slice();
        for (part, bytes) in [(slot.root(), source.root_bytes()), (slot.verity(), tree.len() as u64)] {
            if part.size().is_some_and(|room| bytes > room) {
                let partition = part.label();
                return Err(InstallError::TooLarge { partition, bytes });
            }
        }
        let mut root = Region::new(&source.root, source.root_start, source.root_bytes());
        self.copy(&mut root, slot.root().start())?;
        self.copy(&mut { tree }, slot.verity().start())
    }

    fn copy(&mut self, from: &mut dyn Read, to: u64) -> Result<(), InstallError> {
        let failed = |source| InstallError::Disk {
            step: "writing",
            source,
        };
        let (mut at, mut chunk) = (to, Vec::with_capacity(CHUNK));
        loop {
            chunk.clear();
            from.take(CHUNK as u64).read_to_end(&mut chunk).map_err(failed)?;
            if chunk.is_empty() {
                return Ok(());
            }
            self.disk.write_all_at(&chunk, at).map_err(failed)?;
            at += chunk.len() as u64;
            self.advance("writing", chunk.len() as u64)?;
        }
    }

    /// The pristine file system, with zeros where it has none of its own: what lay there before must not be taken for
    /// inodes or a journal.
    fn write_state(&mut self, pieces: &[template::Piece], len: u64) -> Result<(), InstallError> {
        let start = Part::State.start();
        let mut at = 0;
        while at < len {
            let count = (len - at).min(16 * CHUNK as u64);
            self.zero("writing", start + at, count)?;
            self.advance("writing", count)?;
            at += count;
        }
        pieces
            .iter()
            .try_for_each(|piece| self.disk.write_all_at(&piece.bytes, start + piece.offset))
            .map_err(|source| InstallError::Disk {
                step: "writing",
                source,
            })
    }

    /// From the medium, not from memory.
    fn read_back(&mut self, slot: Slot) -> Result<(), InstallError> {
        let failed = |source| InstallError::Disk {
            step: "reading back",
            source,
        };
        block::forget(self.disk).map_err(failed)?;
        let expected = &self.source.tree;
        let found = tree_of(self.disk, slot.root().start(), &expected.params).map_err(failed)?;
        let mut tree = vec![0; expected.bytes.len()];
        self.disk
            .read_exact_at(&mut tree, slot.verity().start())
            .map_err(failed)?;
        if found != *expected || tree != expected.bytes {
            return Err(InstallError::ReadBack { slot });
        }
        self.advance("reading back", self.source.root_bytes() + tree.len() as u64)
    }

    /// Everything but the first two sectors, flushed; then the primary header, by which the disk becomes one.
    fn write_table(&mut self, table: &Memory) -> Result<(), InstallError> {
        let step = "writing the partition table";
        let (first, rest): (Vec<_>, Vec<_>) = table.written().partition(|(at, _)| *at < 2 * SECTOR);
        for sectors in [rest, first] {
            sectors
                .iter()
                .try_for_each(|(at, bytes)| self.disk.write_all_at(bytes, *at))
                .map_err(|source| InstallError::Disk { step, source })?;
            self.flush(step)?;
        }
        Ok(())
    }
}

fn esp_bytes(source: &Source) -> u64 {
    source.entry.len() as u64 * 2
}

/// Bytes of a disk or file.
///
/// # Errors
/// It has no end to seek to.
pub fn size_of(disk: &File) -> io::Result<u64> {
    (&mut &*disk).seek(io::SeekFrom::End(0))
}

#[cfg(test)]
#[path = "install_test.rs"]
mod tests;
