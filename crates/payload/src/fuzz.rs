//! Entry points for fuzzing: each takes any bytes and must not panic.

use crate::index::{parse_entries, write_entries};
use crate::{Manifest, Rollout, SEGMENT_BYTES, bsdiff, zstd};

/// The manifest; one that is understood is written as what is understood the same.
pub fn manifest(data: &[u8]) {
    if let Ok(manifest) = Manifest::parse(data) {
        assert_eq!(Manifest::parse(&manifest.to_bytes()).ok(), Some(manifest));
    }
}

/// The offer of a channel.
pub fn rollout(data: &[u8]) {
    let _ = Rollout::parse(data, "stable");
}

/// The index; entries that are understood are written as the same bytes.
pub fn index(data: &[u8]) {
    if let Ok(entries) = parse_entries(data) {
        let written = write_entries(&entries);
        assert_eq!(parse_entries(&written), Ok(entries));
        // All but the format, which may be newer.
        assert_eq!(written.get(12..), data.get(12..));
    }
}

/// What a file stores for a segment, as if its digest were right: a window behind one byte of its length, then a frame.
pub fn stored_segment(data: &[u8]) {
    let Some((length, rest)) = data.split_first() else {
        return;
    };
    let Some((window, bytes)) = rest.split_at_checked(usize::from(*length)) else {
        return;
    };
    let length = SEGMENT_BYTES as usize;
    let _ = zstd::decode(window.to_vec(), bytes, length);
    let _ = bsdiff::patch(window, bytes, length.min(1 << 16));
    if let Ok(stream) = zstd::decode(Vec::new(), bytes, length) {
        let _ = bsdiff::patch(window, &stream, length);
    }
}
