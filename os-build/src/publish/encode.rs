//! Segments in their shortest stored form.

use std::io::{self, Write};

use keelson_payload::index::Entry;
use keelson_payload::{Digest, Method, PartName, SEGMENT_BYTES, Window};

use super::difference;
use super::displacement::Blocks;

/// The slowest and smallest that needs no larger window than a segment.
const LEVEL: i32 = 19;
/// Enough to compare two windows.
const LOOK: i32 = 9;
/// Binary logarithm of the window of a frame that may refer to any byte of an 8 MiB prefix and its own 4 MiB.
const PREFIXED_WINDOW_LOG: u32 = 24;
/// The same of a frame by itself: 4 MiB.
const PLAIN_WINDOW_LOG: u32 = 22;

/// A segment and what is stored for it.
pub type Stored = (Entry, Vec<u8>);

/// All segments of a part in full.
///
/// # Errors
/// The encoder failed.
pub fn full(part: PartName, content: &[u8]) -> io::Result<Vec<Stored>> {
    each_segment(content, &|number, segment| {
        let stored = frame(LEVEL, &[], segment)?;
        Ok(entry(part, number, Method::Zstd, Window::default(), stored))
    })
}

/// All segments of a part as what they have in common with the same part of an earlier release.
///
/// # Errors
/// An encoder failed.
pub fn patch(part: PartName, old: &[u8], new: &[u8]) -> io::Result<Vec<Stored>> {
    let blocks = Blocks::of(old);
    each_segment(new, &|number, segment| {
        let start = u64::from(number) * u64::from(SEGMENT_BYTES);
        if let Some(window) = blocks.copy(start, segment) {
            return Ok(entry(part, number, Method::Copy, window, Vec::new()));
        }
        let window = closest(&blocks, blocks.windows(start, segment), segment)?;
        let before = blocks.bytes(window).unwrap_or_default();
        let referring = frame(LEVEL, before, segment)?;
        if window.length > 0 {
            let different = frame(LEVEL, &[], &difference::stream(before, segment)?)?;
            if different.len() < referring.len() {
                return Ok(entry(part, number, Method::Bsdiff, window, different));
            }
        }
        Ok(entry(part, number, Method::Zstd, window, referring))
    })
}

/// The window that a quick look says leaves the least to store.
fn closest(blocks: &Blocks<'_>, windows: Vec<Window>, segment: &[u8]) -> io::Result<Window> {
    if let [only] = windows.as_slice() {
        return Ok(*only);
    }
    let look = |window: Window| {
        let before = blocks.bytes(window).unwrap_or_default();
        Ok((frame(LOOK, before, segment)?.len(), window))
    };
    let looked = windows.into_iter().map(look).collect::<io::Result<Vec<_>>>()?;
    let best = looked.into_iter().min_by_key(|(length, _)| *length);
    Ok(best.map_or(Window::default(), |(_, window)| window))
}

fn entry(part: PartName, number: u32, method: Method, window: Window, stored: Vec<u8>) -> Stored {
    let entry = Entry {
        part,
        number,
        method,
        window,
        stored_length: u32::try_from(stored.len()).unwrap_or(u32::MAX),
        stored_digest: match stored.as_slice() {
            [] => Digest([0; 32]),
            bytes => Digest::of(bytes),
        },
    };
    (entry, stored)
}

/// One frame that says its size and may refer to `prefix`.
fn frame(level: i32, prefix: &[u8], bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::with_ref_prefix(Vec::new(), level, prefix)?;
    encoder.include_contentsize(true)?;
    encoder.include_checksum(false)?;
    encoder.set_pledged_src_size(Some(bytes.len() as u64))?;
    encoder.window_log(if prefix.is_empty() {
        PLAIN_WINDOW_LOG
    } else {
        PREFIXED_WINDOW_LOG
    })?;
    encoder.write_all(bytes)?;
    encoder.finish()
}

type Encode<'a> = &'a (dyn Fn(u32, &[u8]) -> io::Result<Stored> + Sync);

/// Encodes every segment of a part, on all processors; the order is that of the part.
fn each_segment(content: &[u8], encode: Encode<'_>) -> io::Result<Vec<Stored>> {
    let segments: Vec<(u32, &[u8])> = (0..).zip(content.chunks(SEGMENT_BYTES as usize)).collect();
    let workers = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(segments.len().max(1));
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((number, bytes)) = segments.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            done.push(encode(*number, bytes)?);
        }
        Ok::<_, io::Error>(done)
    };
    let mut all = Vec::with_capacity(segments.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let done = thread
                .join()
                .map_err(|_| io::Error::other("a thread of the encoder panicked"))?;
            all.extend(done?);
        }
        Ok::<_, io::Error>(())
    })?;
    all.sort_by_key(|(entry, _)| entry.number);
    Ok(all)
}
