//! What applying a segment takes at most, for the worst of each method. A test program of its own: it looks at its peak.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::process::Command;

use keelson_payload::{Digest, Index, Method, PartName, SEGMENT_BYTES, WINDOW_BYTES, Window};
use support::{Content, compress, difference, entry, file, noise, release};

/// What [`keelson_payload::Segment::apply`] promises.
const PROMISED: u64 = 20 << 20;

fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// The peak from now on.
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// Whether this is a process whose allocator gives large blocks back at once, so that the peak is what is really held;
/// if not, the test runs again in one.
fn in_frugal_process() -> bool {
    const FRUGAL: &str = "MALLOC_MMAP_THRESHOLD_";
    if std::env::var_os(FRUGAL).is_some() {
        return true;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    let output = again
        .args(std::env::args().skip(1))
        .env(FRUGAL, "65536")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    false
}

#[test]
fn a_segment_takes_bounded_memory() {
    if !in_frugal_process() {
        return;
    }
    let (window, segment) = (WINDOW_BYTES as usize, SEGMENT_BYTES as usize);
    let old = Content {
        root: noise(1, window),
        boot: vec![1],
    };
    let mut new = Content {
        root: noise(2, segment),
        boot: vec![1],
    };
    new.root[..segment / 2].copy_from_slice(&old.root[..segment / 2]);
    for method in [Method::Zstd, Method::Bsdiff] {
        let mut made = release(old.clone(), new.clone());
        let stored = match method {
            Method::Bsdiff => difference(&old.root, &new.root),
            _ => compress(&old.root, &new.root),
        };
        let whole = Window {
            start: 0,
            length: WINDOW_BYTES,
        };
        let copy = Window { start: 0, length: 1 };
        let (described, bytes) = file(vec![
            (entry(PartName::Root, 0, method, whole), stored),
            (entry(PartName::Boot, 0, Method::Copy, copy), Vec::new()),
        ]);
        made.manifest.patches[0].file = described;
        let patch = &made.manifest.patches[0];
        let index = Index::of_patch(&bytes[..patch.file.index_length as usize], &made.manifest, patch).unwrap();
        let first = index.segments().first().unwrap();
        let stored = first.stored();
        let (window, stored) = (old.root.clone(), &bytes[stored.start as usize..stored.end as usize]);
        forget_peak();
        let before = peak();
        let content = first.apply(window, stored).unwrap();
        let taken = peak() - before;
        assert_eq!(Digest::of(&content), Digest::of(&new.root));
        assert!(taken <= PROMISED, "{method:?} took {} MiB", taken >> 20);
    }
}
