//! Recorded disk writes, and the states a power cut could have left.
//!
//! QEMU's `blklogwrites` records every write and flush of guest and firmware in the format of the kernel's
//! `Documentation/admin-guide/device-mapper/log-writes.rst`: a superblock sector, then per entry one header sector and
//! its data. Everything before a flush is on the medium once the flush returned; what came after may be there or not,
//! in any order. Killing QEMU would lose nothing that was submitted, so it proves nothing.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::disk::DiskFile;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const SECTOR: u64 = 512;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;

/// What an entry of the log did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Data was written.
    Write,
    /// Everything before it reached the medium.
    Flush,
    /// A range lost its meaning; a cut may or may not have kept it, so it is left alone.
    Discard,
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What it did.
    pub kind: Kind,
    /// First byte on the disk.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    data_at: u64,
}

/// A recording.
#[derive(Debug)]
pub struct WriteLog {
    file: File,
    /// Entries in the order the drive received them.
    pub entries: Vec<Entry>,
}

/// A state the medium could have had when the power went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Indices of the writes that are on the medium, in order.
    pub applied: Vec<usize>,
    /// Says how the state was chosen.
    pub label: String,
}

impl WriteLog {
    /// Reads the entries of a recording.
    ///
    /// # Errors
    /// The file is no recording, or ends inside an entry.
    pub fn open(path: &Path) -> Result<WriteLog> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let [magic, version, count] = words(&file, 0)?;
        ensure!(magic == MAGIC && version == 1, "{} is no write log", path.display());
        let mut entries = Vec::new();
        let mut at = SECTOR;
        for _ in 0..count {
            let entry = read_entry(&file, at)?;
            at = entry.data_at + if entry.kind == Kind::Write { entry.length } else { 0 };
            entries.push(entry);
        }
        Ok(WriteLog { file, entries })
    }

    /// Brings a copy of the disk as it was before the recording to the state of a cut.
    ///
    /// # Errors
    /// Reading the log or writing the disk fails.
    pub fn apply(&self, cut: &Cut, disk: &DiskFile) -> Result<()> {
        for entry in cut.applied.iter().filter_map(|index| self.entries.get(*index)) {
            let mut data = vec![0; usize::try_from(entry.length)?];
            self.file.read_exact_at(&mut data, entry.data_at)?;
            disk.write(entry.offset, &data)?;
        }
        Ok(())
    }

    /// Index behind the last write that touches a range of the disk.
    #[must_use]
    pub fn last_write_to(&self, start: u64, length: u64) -> Option<usize> {
        let touches = |entry: &Entry| {
            entry.kind == Kind::Write && entry.offset < start + length && start < entry.offset + entry.length
        };
        self.entries.iter().rposition(touches).map(|index| index + 1)
    }
}

fn words(file: &File, at: u64) -> Result<[u64; 3]> {
    let mut words = [0; 3];
    for (index, word) in words.iter_mut().enumerate() {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at + index as u64 * 8)?;
        *word = u64::from_le_bytes(bytes);
    }
    Ok(words)
}

fn read_entry(file: &File, at: u64) -> Result<Entry> {
    let [sector, sectors, flags] = words(file, at)?;
    let kind = match (flags & DISCARD != 0, sectors) {
        (true, _) => Kind::Discard,
        (false, 0) => Kind::Flush,
        (false, _) => Kind::Write,
    };
    ensure!(
        kind != Kind::Flush || flags & FLUSH != 0,
        "an entry at {at} neither writes nor flushes"
    );
    Ok(Entry {
        kind,
        offset: sector * SECTOR,
        length: sectors * SECTOR,
        data_at: at + SECTOR,
    })
}

/// Seeded states: for each of `count` moments, spread over the recording, all writes before the last flush and a
/// random subset of those since.
#[must_use]
pub fn choose_cuts(entries: &[Entry], count: usize, seed: u64) -> Vec<Cut> {
    let mut random = SplitMix(seed);
    (0..count)
        .map(|index| {
            let span = entries.len().max(1);
            let low = index * span / count.max(1);
            let high = ((index + 1) * span / count.max(1)).max(low + 1);
            let moment = low + usize::try_from(random.next() % (high - low) as u64).unwrap_or(0);
            cut_at(entries, moment, &mut random)
        })
        .collect()
}

/// A state at one moment: a plain prefix every third time, a subset of the unflushed writes otherwise.
fn cut_at(entries: &[Entry], moment: usize, random: &mut SplitMix) -> Cut {
    let before = entries.get(..moment).unwrap_or(entries);
    let flushed = before
        .iter()
        .rposition(|entry| entry.kind == Kind::Flush)
        .map_or(0, |at| at + 1);
    let keep_all = random.next().is_multiple_of(3);
    let applied: Vec<usize> = before
        .iter()
        .enumerate()
        .filter(|(index, entry)| {
            entry.kind == Kind::Write && (*index < flushed || keep_all || random.next().is_multiple_of(2))
        })
        .map(|(index, _)| index)
        .collect();
    let open = before.len() - flushed;
    let what = if keep_all { "all" } else { "some" };
    Cut {
        label: format!(
            "entry {moment} of {}, {what} of {open} since the last flush",
            entries.len()
        ),
        applied,
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough for choosing cuts, and the same everywhere.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind) -> Entry {
        Entry {
            kind,
            offset: 0,
            length: 512,
            data_at: 0,
        }
    }

    #[test]
    fn what_was_flushed_is_always_there() {
        let entries: Vec<Entry> = (0..60)
            .map(|index| entry(if index % 7 == 6 { Kind::Flush } else { Kind::Write }))
            .collect();
        for cut in choose_cuts(&entries, 20, 1) {
            let last = cut.applied.last().copied().unwrap_or(0);
            let flushed = entries[..last]
                .iter()
                .rposition(|entry| entry.kind == Kind::Flush)
                .unwrap_or(0);
            let expected = (0..flushed).filter(|index| entries[*index].kind == Kind::Write).count();
            assert_eq!(
                cut.applied.iter().filter(|index| **index < flushed).count(),
                expected,
                "{}",
                cut.label
            );
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_cuts() {
        let entries = vec![entry(Kind::Write); 30];
        assert_eq!(choose_cuts(&entries, 5, 9), choose_cuts(&entries, 5, 9));
        assert_ne!(choose_cuts(&entries, 5, 9), choose_cuts(&entries, 5, 10));
    }

    #[test]
    fn a_recording_is_read_and_applied() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut bytes = vec![0; 512];
        bytes[..8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8] = 1;
        bytes[16] = 2;
        let mut header = vec![0; 512];
        header[0] = 4;
        header[8] = 1;
        bytes.extend(header);
        bytes.extend([0xaa; 512]);
        let mut flush = vec![0; 512];
        flush[16] = 1;
        bytes.extend(flush);
        std::fs::write(&path, bytes).unwrap();
        let log = WriteLog::open(&path).unwrap();
        assert_eq!(
            log.entries.iter().map(|entry| entry.kind).collect::<Vec<_>>(),
            [Kind::Write, Kind::Flush]
        );
        assert_eq!(log.last_write_to(2048, 1), Some(1));
        assert_eq!(log.last_write_to(0, 2048), None);
        let (from, to) = (directory.path().join("a"), directory.path().join("b"));
        std::fs::write(&from, [0; 4096]).unwrap();
        let disk = DiskFile::copy(&from, &to).unwrap();
        log.apply(
            &Cut {
                applied: vec![0],
                label: String::new(),
            },
            &disk,
        )
        .unwrap();
        assert_eq!(disk.read(2048, 2).unwrap(), [0xaa, 0xaa]);
        assert_eq!(disk.read(2047, 1).unwrap(), [0]);
    }
}
