//! A release of the payload's own tests into memory: by patch and in full, cut, taken up, and with bytes that are not
//! right.

use std::cell::RefCell;

use keelson_image_layout::RootHash;
use keelson_payload::Digest;

use super::plan::cost;
use super::*;

#[path = "../../../crates/payload/tests/support/mod.rs"]
mod support;

use support::{Content, Release, example};

/// A part in memory, written piece by piece.
struct Memory(RefCell<Vec<u8>>);

impl Place for Memory {
    fn holds(&self, at: u64, len: u64, sha256: &[u8; 32]) -> bool {
        let (start, end) = (at as usize, (at + len) as usize);
        Digest::of(&self.0.borrow()[start..end]).0 == *sha256
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), UpdateError> {
        let at = at as usize;
        self.0.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// A file on a server that counts.
struct Server {
    file: Vec<u8>,
    requests: usize,
    fetched: u64,
}

impl Repository for Server {
    fn open(&mut self, range: Range<u64>) -> io::Result<Box<dyn Read + '_>> {
        self.requests += 1;
        self.fetched += range.end - range.start;
        let end = (range.end as usize).min(self.file.len());
        Ok(Box::new(&self.file[range.start as usize..end]))
    }
}

impl Running for Content {
    fn read(&self, part: PartName, window: Window) -> io::Result<Vec<u8>> {
        let bytes = if part == PartName::Root { &self.root } else { &self.boot };
        let start = window.start as usize;
        Ok(bytes[start..start + window.length as usize].to_vec())
    }
}

struct Case {
    release: Release,
    index: Index,
    server: Server,
    place: Memory,
}

fn head(file: &[u8], length: u32) -> Vec<u8> {
    file[..length as usize].to_vec()
}

impl Case {
    fn new(of: impl FnOnce(&Release) -> (Index, Vec<u8>)) -> Case {
        let release = example();
        let (index, file) = of(&release);
        let place = Memory(RefCell::new(vec![0; release.new.root.len()]));
        let server = Server {
            file,
            requests: 0,
            fetched: 0,
        };
        Case {
            release,
            index,
            server,
            place,
        }
    }

    fn by_patch() -> Case {
        Case::new(|release| {
            let boot = Digest::of(&release.old.boot);
            let patch = release.manifest.patch_from(RootHash([1; 32]), boot).unwrap();
            let file = release.files[3].clone();
            let head = head(&file, patch.file.index_length);
            (Index::of_patch(&head, &release.manifest, patch).unwrap(), file)
        })
    }

    fn in_full() -> Case {
        Case::new(|release| {
            let file = release.files[0].clone();
            let head = head(&file, release.manifest.parts.root.full.index_length);
            (Index::of_full(&head, &release.manifest, PartName::Root).unwrap(), file)
        })
    }

    fn missing(&self) -> Vec<u32> {
        missing(&self.release.manifest.parts.root, &self.place)
    }

    /// The root, at most so many segments of it.
    fn run(&mut self, segments: usize) -> Result<(), TransferError> {
        let missing = self.missing();
        let mut left = segments;
        let mut written = |_| match left {
            0 => Err(io::Error::other("cut")),
            _ => {
                left -= 1;
                Ok(())
            }
        };
        transfer(
            &self.index,
            (PartName::Root, &missing),
            &mut self.server,
            &self.release.old,
            &self.place,
            &mut written,
        )
    }

    fn is_complete(&self) -> bool {
        *self.place.0.borrow() == self.release.new.root
    }
}

#[test]
fn a_patch_and_full_images_give_the_same_root_in_one_request() {
    for mut case in [Case::by_patch(), Case::in_full()] {
        let all = case.missing();
        let planned = cost(&plan_runs(&case.index, PartName::Root, &all));
        case.run(usize::MAX).unwrap();
        assert!(case.is_complete() && case.missing().is_empty());
        assert_eq!((case.server.requests, case.server.fetched), (1, planned));
        case.run(0).unwrap();
        assert_eq!(case.server.requests, 1, "what is there is not fetched again");
    }
    let (patch, full) = (Case::by_patch(), Case::in_full());
    let of = |case: &Case| cost(&plan_runs(&case.index, PartName::Root, &case.missing()));
    // A whole segment is new in the example; the patch stores that and two small differences.
    assert!(of(&patch) * 3 < of(&full), "{} {}", of(&patch), of(&full));
}

#[test]
fn a_cut_transfer_fetches_what_is_missing_and_no_more() {
    for new in [Case::by_patch, Case::in_full] {
        for segments in 0..4 {
            let mut case = new();
            let once = cost(&plan_runs(&case.index, PartName::Root, &case.missing()));
            assert!(matches!(case.run(segments), Err(TransferError::Stopped(_))));
            let rest = cost(&plan_runs(&case.index, PartName::Root, &case.missing()));
            assert!(rest < once || segments == 0);
            case.server.fetched = 0;
            case.run(usize::MAX).unwrap();
            assert!(case.is_complete());
            assert_eq!(case.server.fetched, rest);
        }
    }
}

#[test]
fn segments_that_lie_apart_are_asked_for_apart() {
    let mut case = Case::in_full();
    case.run(usize::MAX).unwrap();
    for number in [0, 2] {
        case.place.0.borrow_mut()[number * SEGMENT_BYTES as usize] ^= 1;
    }
    assert_eq!(case.missing(), [0, 2]);
    case.server.requests = 0;
    case.run(usize::MAX).unwrap();
    assert_eq!(case.server.requests, 2);
    assert!(case.is_complete());
}

#[test]
fn nothing_that_was_changed_on_the_way_is_written() {
    for new in [Case::by_patch, Case::in_full] {
        let mut case = new();
        let stored = |segment: &&Segment| segment.part == PartName::Root && !segment.stored().is_empty();
        let last = case.index.segments().iter().rfind(stored).unwrap().clone();
        case.server.file[last.stored().start as usize] ^= 1;
        let error = case.run(usize::MAX).unwrap_err();
        assert!(matches!(error.failure(), Failure::Network { .. }), "{error}");
        assert_eq!(case.missing().first(), Some(&last.number));
    }
}

#[test]
fn a_server_that_breaks_off_and_a_rotten_source_are_told_apart() {
    let mut case = Case::in_full();
    case.server.file.truncate(case.server.file.len() / 2);
    let error = case.run(usize::MAX).unwrap_err();
    assert!(matches!(error, TransferError::Fetch { .. }), "{error}");
    let mut case = Case::by_patch();
    case.release.old.root[10] ^= 1;
    let error = case.run(usize::MAX).unwrap_err();
    assert!(matches!(error.failure(), Failure::Machine { .. }), "{error}");
    assert_eq!(case.missing().first(), Some(&0), "what it gave was not written");
}
