//! A position in the store that moves from entry to entry and waits at the end for more.

use std::fs::File;
use std::io;

use super::Store;
use super::segment::HEADER_BYTES;
use crate::entry::Entry;

/// Where a reader stands. It survives rotation: when its segment is gone it goes on with the oldest one left.
#[derive(Debug)]
pub struct Reader {
    /// Number of the next entry to give.
    next_seq: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    first_seq: u64,
    file: File,
    at: u64,
}

impl Reader {
    /// In front of the oldest entry.
    #[must_use]
    pub fn at_start(_store: &Store) -> Reader {
        Reader {
            next_seq: 0,
            open: None,
        }
    }

    /// Behind the newest entry.
    #[must_use]
    pub fn at_end(store: &Store) -> Reader {
        Reader {
            next_seq: store.next_seq,
            open: None,
        }
    }

    /// In front of an entry, or of the oldest one after it.
    #[must_use]
    pub fn at(seq: u64) -> Reader {
        Reader {
            next_seq: seq,
            open: None,
        }
    }

    /// The next entry; `None` at the end, from where a later call goes on.
    ///
    /// # Errors
    /// A segment cannot be read.
    pub fn next(&mut self, store: &Store) -> io::Result<Option<Entry>> {
        loop {
            let Some(index) = self.segment_index(store) else {
                return Ok(None);
            };
            let Some(segment) = store.segments.get(index) else {
                return Ok(None);
            };
            if self
                .open
                .as_ref()
                .is_none_or(|open| open.first_seq != segment.first_seq)
            {
                let file = File::open(&segment.path)?;
                self.open = Some(Open {
                    first_seq: segment.first_seq,
                    file,
                    at: HEADER_BYTES,
                });
            }
            let Some(open) = &mut self.open else { return Ok(None) };
            match segment.read(&open.file, open.at)? {
                Some((entry, size)) => {
                    open.at += size;
                    if entry.seq >= self.next_seq {
                        self.next_seq = entry.seq + 1;
                        return Ok(Some(entry));
                    }
                }
                None => match store.segments.get(index + 1) {
                    Some(next) => self.next_seq = self.next_seq.max(next.first_seq),
                    None => return Ok(None),
                },
            }
        }
    }

    /// Whether no newer entry is there.
    #[must_use]
    pub fn is_at_end(&self, store: &Store) -> bool {
        self.next_seq >= store.next_seq
    }

    /// The segment that holds the next entry, or the first behind it.
    fn segment_index(&self, store: &Store) -> Option<usize> {
        let behind = store
            .segments
            .partition_point(|segment| segment.first_seq <= self.next_seq);
        (!store.segments.is_empty()).then(|| behind.saturating_sub(1))
    }
}
