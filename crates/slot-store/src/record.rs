//! The slot-state partition: reading both copies, writing the older one, one writer at a time.
//!
//! The lock is an advisory lock on the device node itself: the kernel gives it back when its holder dies, so it cannot
//! be left behind by a power cut or a killed program.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keelson_image_layout::SlotState;
use keelson_image_layout::slot_state::{COPY_BYTES, COPY_OFFSETS, Found};
use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

/// How long a writer waits for another one; a write takes milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(20);

/// What went wrong with the slot-state partition.
#[derive(Debug, Error)]
pub enum RecordError {
    /// It could not be opened.
    #[error("cannot open the slot-state partition {path}")]
    Open {
        /// The device node.
        path: PathBuf,
        /// Answer of the kernel.
        #[source]
        source: io::Error,
    },
    /// Another writer holds it.
    #[error("the slot-state partition {path} is locked by another writer")]
    Locked {
        /// The device node.
        path: PathBuf,
    },
    /// It could not be written or flushed.
    #[error("cannot write the slot-state partition {path}")]
    Write {
        /// The device node.
        path: PathBuf,
        /// Answer of the kernel.
        #[source]
        source: io::Error,
    },
    /// It holds nothing this release may change.
    #[error("the record on {path} cannot be changed: {why}")]
    Unchangeable {
        /// The device node.
        path: PathBuf,
        /// What was found.
        why: String,
    },
}

/// The slot-state partition, locked for this process until dropped.
#[derive(Debug)]
pub struct RecordStore {
    path: PathBuf,
    file: File,
}

impl RecordStore {
    /// Opens and locks the partition.
    ///
    /// # Errors
    /// [`RecordError::Open`], or [`RecordError::Locked`] after ten seconds.
    pub fn open(path: &Path) -> Result<RecordStore, RecordError> {
        let open_error = |source| RecordError::Open {
            path: path.to_owned(),
            source,
        };
        let file = File::options().read(true).write(true).open(path).map_err(open_error)?;
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(LOCK_POLL),
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(RecordError::Locked { path: path.to_owned() }),
                Err(errno) => return Err(open_error(errno.into())),
            }
        }
        Ok(RecordStore {
            path: path.to_owned(),
            file,
        })
    }

    /// What the two copies hold; a copy that cannot be read counts as damaged.
    #[must_use]
    pub fn read(&self) -> Found {
        let [first, second] = COPY_OFFSETS.map(|offset| self.read_copy(offset));
        SlotState::find(&first, &second)
    }

    fn read_copy(&self, offset: u64) -> Vec<u8> {
        let mut copy = vec![0; COPY_BYTES];
        match self.file.read_exact_at(&mut copy, offset) {
            Ok(()) => copy,
            Err(_) => Vec::new(),
        }
    }

    /// Overwrites one copy, 0 or 1, and flushes it to the medium.
    ///
    /// # Errors
    /// [`RecordError::Write`]; the other copy is then untouched.
    pub fn write(&self, state: &SlotState, copy: usize) -> Result<(), RecordError> {
        let offset = if copy == 0 { COPY_OFFSETS[0] } else { COPY_OFFSETS[1] };
        self.file
            .write_all_at(&state.encode(), offset)
            .and_then(|()| self.file.sync_all())
            .map_err(|source| RecordError::Write {
                path: self.path.clone(),
                source,
            })
    }

    /// Reads, lets `decide` make the next record, and writes it over the older copy. Returns the record in force.
    ///
    /// # Errors
    /// [`RecordError::Unchangeable`] when there is no record this release may write, [`RecordError::Write`].
    pub fn change(&self, decide: impl FnOnce(&SlotState) -> Option<SlotState>) -> Result<SlotState, RecordError> {
        let unchangeable = |why: String| RecordError::Unchangeable {
            path: self.path.clone(),
            why,
        };
        let current = match self.read() {
            Found::Record(current) => current,
            Found::Newer { min_reader } => {
                return Err(unchangeable(format!(
                    "it needs a release that knows format {min_reader}"
                )));
            }
            Found::Nothing => return Err(unchangeable("neither copy can be read".to_owned())),
        };
        match decide(&current.state) {
            None => Ok(current.state),
            Some(next) => self.write(&next, current.next_copy).map(|()| next),
        }
    }
}

#[cfg(test)]
mod tests {
    use keelson_image_layout::slot_state::boot::unknown;
    use keelson_image_layout::slot_state::decide::{mark_good, successor};
    use keelson_image_layout::{Slot, State};

    use super::*;

    fn partition() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        file
    }

    #[test]
    fn copies_are_written_in_turn_and_a_torn_one_is_survived() {
        let file = partition();
        let store = RecordStore::open(file.path()).unwrap();
        assert_eq!(store.read(), Found::Nothing);
        store.write(&unknown(), 0).unwrap();
        for expected in 2..6 {
            assert_eq!(store.change(|state| Some(successor(state))).unwrap().seq, expected);
        }
        // Number 5 went to copy 0; tearing it brings back number 4.
        file.as_file().write_all_at(b"torn", 100).unwrap();
        let Found::Record(current) = store.read() else {
            panic!("one copy is sound")
        };
        assert_eq!((current.state.seq, current.next_copy), (4, 0));
    }

    #[test]
    fn an_unchanged_record_is_not_written() {
        let file = partition();
        let store = RecordStore::open(file.path()).unwrap();
        store.write(&unknown(), 0).unwrap();
        let good = store.change(|state| mark_good(state, Slot::A, 3)).unwrap();
        assert_eq!((good.slot(Slot::A).state, good.seq), (State::Good, 2));
        assert_eq!(store.change(|state| mark_good(state, Slot::A, 3)).unwrap().seq, 2);
    }

    #[test]
    fn an_empty_partition_is_named_as_such() {
        let file = partition();
        let store = RecordStore::open(file.path()).unwrap();
        let error = store.change(|_| None).unwrap_err().to_string();
        assert!(error.ends_with("neither copy can be read"), "{error}");
    }

    #[test]
    fn the_lock_goes_with_its_holder() {
        let file = partition();
        let first = RecordStore::open(file.path()).unwrap();
        let again = File::open(file.path()).unwrap();
        assert!(flock(&again, FlockOperation::NonBlockingLockExclusive).is_err());
        drop(first);
        flock(&again, FlockOperation::NonBlockingLockExclusive).unwrap();
    }
}
