//! The append-only store: segments in a directory, bounded in size, the oldest dropped first. A power cut tears at
//! most the tail of the newest segment, which is found by its checksum and cut off.

mod end;
pub mod reader;
pub mod record;
pub mod segment;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use reader::Reader;

use crate::entry::{Entry, Fields};
use end::End;
use segment::Segment;

/// Bounds of a store, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All segments together.
    pub total: u64,
    /// One segment; a new one is begun beyond.
    pub segment: u64,
}

impl Limits {
    /// A tenth of the file system's size, between 16 and 256 MiB, in segments of a sixteenth of that.
    #[must_use]
    pub fn for_file_system(bytes: u64) -> Limits {
        let total = (bytes / 10).clamp(16 << 20, 256 << 20);
        Limits {
            total,
            segment: total / 16,
        }
    }
}

/// When an entry was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Microseconds since 1970.
    pub realtime: u64,
    /// Microseconds since boot.
    pub monotonic: u64,
}

/// A store, open for appending. One writer at a time.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    limits: Limits,
    boot: [u8; 16],
    segments: Vec<Segment>,
    tail: File,
    next_seq: u64,
    dirty: bool,
    last_kernel: Option<u64>,
}

impl Store {
    /// Opens a store, making it if need be, and cuts off a torn tail. Files that are no segments are left alone.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn open(directory: &Path, limits: Limits, boot: [u8; 16]) -> io::Result<Store> {
        fs::create_dir_all(directory)?;
        let format = directory.join("format");
        if !format.exists() {
            keelson_durable::replace(&format, b"{\"format\":1,\"min_reader\":1}\n", 0o644)?;
        }
        let mut found = list(directory)?;
        found.sort_unstable();
        let mut end = End::default();
        let mut segments = Vec::with_capacity(found.len());
        for (first_seq, path) in found.into_iter().rev() {
            segments.extend(end.look(&path, first_seq, boot)?);
        }
        segments.reverse();
        let End {
            next_seq, last_kernel, ..
        } = end;
        // The end of the newest segment may be torn, and an older release may have written a format of its own behind
        // it: always go on in a fresh file, which costs 64 bytes and touches nothing that is there.
        let (segment, tail) = fresh(directory, &mut segments, next_seq)?;
        segments.push(segment);
        let mut store = Store {
            directory: directory.to_owned(),
            limits,
            boot,
            segments,
            tail,
            next_seq,
            dirty: true,
            last_kernel,
        };
        store.drop_oldest();
        Ok(store)
    }

    /// Number of the kernel's last record of this boot that the store holds.
    #[must_use]
    pub fn last_kernel_record(&self) -> Option<u64> {
        self.last_kernel
    }

    /// Number of the next entry.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The boot entries are stamped with.
    #[must_use]
    pub fn boot(&self) -> [u8; 16] {
        self.boot
    }

    /// Appends an entry and gives its number. With no room left the oldest segment goes first.
    ///
    /// # Errors
    /// The entry could not be written; the store is as before.
    pub fn append(&mut self, stamp: Stamp, fields: Fields) -> io::Result<u64> {
        self.append_all([(stamp, fields)])?;
        Ok(self.next_seq - 1)
    }

    /// Appends entries, by one write as far as they fit into a segment: the kernel has hundreds to say at a start.
    ///
    /// # Errors
    /// Not all entries could be written; those that were are a beginning of them.
    pub fn append_all(&mut self, entries: impl IntoIterator<Item = (Stamp, Fields)>) -> io::Result<()> {
        let mut batch = Batch::after(self.next_seq);
        for (Stamp { realtime, monotonic }, fields) in entries {
            let entry = Entry {
                seq: batch.next_seq,
                realtime,
                monotonic,
                boot: self.boot,
                fields,
            };
            let record = record::encode(&entry);
            if !batch.bytes.is_empty() && !self.fits(batch.bytes.len() + record.len()) {
                self.write_batch(&batch)?;
                batch = Batch::after(self.next_seq);
            }
            batch.push(&record, kernel_sequence(&entry));
        }
        self.write_batch(&batch)
    }

    fn fits(&self, bytes: usize) -> bool {
        self.end() + bytes as u64 <= self.limits.segment
    }

    fn write_batch(&mut self, batch: &Batch) -> io::Result<()> {
        if batch.bytes.is_empty() {
            return Ok(());
        }
        if !self.fits(batch.bytes.len()) && self.end() > segment::HEADER_BYTES {
            self.begin_segment()?;
        }
        match self.write(&batch.bytes) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull && self.segments.len() > 1 => {
                self.remove_first();
                self.write(&batch.bytes)?;
            }
            outcome => outcome?,
        }
        self.next_seq = batch.next_seq;
        self.last_kernel = batch.last_kernel.or(self.last_kernel);
        Ok(())
    }

    /// Brings everything appended so far to the medium.
    ///
    /// # Errors
    /// The medium fails.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.dirty {
            self.tail.sync_data()?;
            self.dirty = false;
        }
        Ok(())
    }

    /// The segments, oldest first.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn end(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.bytes)
    }

    /// Records are written by one call at the known end, so that a failed one leaves nothing behind that counts.
    fn write(&mut self, records: &[u8]) -> io::Result<()> {
        let end = self.end();
        if let Err(error) = self.tail.write_all_at(records, end) {
            let _ = self.tail.set_len(end);
            return Err(error);
        }
        if let Some(segment) = self.segments.last_mut() {
            segment.bytes = end + records.len() as u64;
        }
        self.dirty = true;
        Ok(())
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        self.sync()?;
        let (segment, tail) = Segment::create(&self.directory, self.next_seq)?;
        self.segments.push(segment);
        self.tail = tail;
        self.dirty = true;
        self.drop_oldest();
        Ok(())
    }

    fn drop_oldest(&mut self) {
        let room = self.limits.total.saturating_sub(self.limits.segment);
        while self.segments.len() > 1 && self.segments.iter().map(|segment| segment.bytes).sum::<u64>() > room {
            self.remove_first();
        }
    }

    fn remove_first(&mut self) {
        let first = self.segments.remove(0);
        // A file that cannot be removed is found again at the next start.
        let _ = fs::remove_file(first.path);
    }
}

/// Records that are written together.
#[derive(Debug)]
struct Batch {
    bytes: Vec<u8>,
    next_seq: u64,
    last_kernel: Option<u64>,
}

impl Batch {
    fn after(next_seq: u64) -> Batch {
        Batch {
            bytes: Vec::new(),
            next_seq,
            last_kernel: None,
        }
    }

    fn push(&mut self, record: &[u8], kernel_sequence: Option<u64>) {
        self.bytes.extend_from_slice(record);
        self.next_seq += 1;
        self.last_kernel = kernel_sequence.or(self.last_kernel);
    }
}

/// A fresh tail. An empty segment of the same number is replaced.
fn fresh(directory: &Path, segments: &mut Vec<Segment>, next_seq: u64) -> io::Result<(Segment, File)> {
    segments.retain(|segment| segment.first_seq != next_seq);
    match Segment::create(directory, next_seq) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull && !segments.is_empty() => {
            let _ = fs::remove_file(segments.remove(0).path);
            Segment::create(directory, next_seq)
        }
        outcome => outcome,
    }
}

fn list(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let seq = entry.file_name().to_str().and_then(segment::parse_file_name);
        found.extend(seq.map(|seq| (seq, entry.path())));
    }
    Ok(found)
}

fn kernel_sequence(entry: &Entry) -> Option<u64> {
    entry.fields.text("_KERNEL_SEQUENCE")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        total: 64 << 10,
        segment: 4 << 10,
    };

    fn message(text: &str) -> Fields {
        [("MESSAGE", text)].into_iter().collect()
    }

    fn stamp(at: u64) -> Stamp {
        Stamp {
            realtime: at,
            monotonic: at,
        }
    }

    fn all(directory: &Path) -> Vec<(u64, String)> {
        let store = Store::open(directory, LIMITS, [1; 16]).unwrap();
        let mut reader = Reader::at_start(&store);
        let mut found = Vec::new();
        while let Some(entry) = reader.next(&store).unwrap() {
            found.push((entry.seq, entry.fields.text("MESSAGE").unwrap_or_default().to_owned()));
        }
        found
    }

    #[test]
    fn entries_survive_a_restart_in_order() {
        let directory = tempfile::tempdir().unwrap();
        for round in 0..3 {
            let mut store = Store::open(directory.path(), LIMITS, [1; 16]).unwrap();
            for index in 0..40 {
                store
                    .append(stamp(index), message(&format!("{round} {index}")))
                    .unwrap();
            }
        }
        let found = all(directory.path());
        assert_eq!(found.len(), 120);
        assert!(found.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0));
        assert_eq!(found[119].1, "2 39");
    }

    #[test]
    fn many_at_once_are_as_many_one_by_one() {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [mut together, mut single] =
            [0, 1].map(|index: usize| Store::open(directories[index].path(), LIMITS, [1; 16]).unwrap());
        let entries = || (0..300).map(|index| (stamp(index), message(&format!("entry {index}"))));
        together.append_all(entries()).unwrap();
        for (stamp, fields) in entries() {
            single.append(stamp, fields).unwrap();
        }
        let sizes = |store: &Store| store.segments().iter().map(|segment| segment.bytes).collect::<Vec<_>>();
        assert_eq!(sizes(&together), sizes(&single));
        assert!(together.segments().len() > 2, "{:?}", sizes(&together));
        drop((together, single));
        assert_eq!(all(directories[0].path()), all(directories[1].path()));
    }

    #[test]
    fn size_is_bounded_and_the_newest_stays() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open(directory.path(), LIMITS, [1; 16]).unwrap();
        for index in 0..5000 {
            store.append(stamp(index), message(&format!("entry {index}"))).unwrap();
        }
        let bytes: u64 = fs::read_dir(directory.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes <= LIMITS.total, "{bytes}");
        assert_eq!(
            all(directory.path()).last().map(|(_, text)| text.as_str()),
            Some("entry 4999")
        );
    }

    #[test]
    fn kernel_records_of_this_boot_are_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let kernel = |seq: u64| [("_KERNEL_SEQUENCE", seq.to_string())].into_iter().collect::<Fields>();
        let mut store = Store::open(directory.path(), LIMITS, [1; 16]).unwrap();
        store.append(stamp(0), kernel(41)).unwrap();
        store.append(stamp(0), message("between")).unwrap();
        drop(store);
        assert_eq!(
            Store::open(directory.path(), LIMITS, [1; 16])
                .unwrap()
                .last_kernel_record(),
            Some(41)
        );
        assert_eq!(
            Store::open(directory.path(), LIMITS, [2; 16])
                .unwrap()
                .last_kernel_record(),
            None
        );
    }

    #[test]
    fn the_end_is_found_without_what_is_older() {
        let directory = tempfile::tempdir().unwrap();
        let kernel = |seq: u64| [("_KERNEL_SEQUENCE", seq.to_string())].into_iter().collect::<Fields>();
        let begin = |boot: u8| Store::open(directory.path(), LIMITS, [boot; 16]).unwrap();
        begin(1).append(stamp(0), kernel(7)).unwrap();
        begin(2).append(stamp(0), kernel(3)).unwrap();
        // Two starts of the journal in one boot, the second without a word of the kernel, the third without any.
        begin(2).append(stamp(0), message("no kernel")).unwrap();
        drop(begin(2));
        let store = begin(2);
        assert_eq!((store.next_seq, store.last_kernel_record()), (4, Some(3)));
        drop(store);
        // What is older is not looked at: damage there is nothing to the start, and ends only its own segment's reading.
        let oldest = directory.path().join(segment::file_name(1));
        File::options()
            .write(true)
            .open(&oldest)
            .unwrap()
            .write_all_at(b"damage", 70)
            .unwrap();
        let store = begin(2);
        assert_eq!((store.next_seq, store.segments()[0].first_seq), (4, 1));
        let sequences: Vec<u64> = all(directory.path()).into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(sequences, [2, 3]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_tail_torn_at_any_byte_loses_only_what_was_torn(keep in 0u64..2000) {
            let directory = tempfile::tempdir().unwrap();
            let mut store = Store::open(directory.path(), LIMITS, [1; 16]).unwrap();
            let mut ends = vec![segment::HEADER_BYTES];
            for index in 0..10 {
                store.append(stamp(index), message(&format!("entry {index}"))).unwrap();
                ends.push(store.end());
            }
            let path = store.segments()[0].path.clone();
            drop(store);
            let keep = keep.min(*ends.last().unwrap());
            File::options().write(true).open(&path).unwrap().set_len(keep).unwrap();
            let whole = ends.iter().filter(|end| **end <= keep).count().saturating_sub(1);
            prop_assert_eq!(all(directory.path()).len(), whole);
            let mut store = Store::open(directory.path(), LIMITS, [1; 16]).unwrap();
            store.append(stamp(99), message("after")).unwrap();
            drop(store);
            let found = all(directory.path());
            prop_assert_eq!(found.len(), whole + 1);
            prop_assert_eq!(found.last().map(|(_, text)| text.as_str()), Some("after"));
        }
    }
}
