//! Two small releases and the files that carry the second one, made with the reference encoder.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test takes what it needs, and may panic"
)]

use keelson_image_layout::RootHash;
use keelson_image_layout::verity::VerityParams;
use keelson_payload::index::{Entry, write_entries};
use keelson_payload::manifest::Parts;
use keelson_payload::{
    Control, Digest, Manifest, Method, Part, PartName, Patch, PayloadFile, SEGMENT_BYTES, Source, Store, Window,
    join_differences,
};
use std::io::Write;

/// Bytes that do not compress, the same for each seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut word = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        bytes.extend(word.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A frame that refers to `prefix`.
pub fn compress(prefix: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::with_ref_prefix(Vec::new(), 9, prefix).unwrap();
    encoder.include_contentsize(true).unwrap();
    encoder.set_pledged_src_size(Some(bytes.len() as u64)).unwrap();
    encoder.window_log(24).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The difference of two texts of one length, in one step.
pub fn difference(old: &[u8], new: &[u8]) -> Vec<u8> {
    let add: Vec<u8> = old.iter().zip(new).map(|(old, new)| new.wrapping_sub(*old)).collect();
    let step = Control {
        add: add.len() as u32,
        extra: (new.len() - add.len()) as u32,
        seek: 0,
    };
    compress(&[], &join_differences(&[step], &add, &new[add.len()..]))
}

/// A file and what its manifest says of it.
pub fn file(mut segments: Vec<(Entry, Vec<u8>)>) -> (PayloadFile, Vec<u8>) {
    for (entry, stored) in &mut segments {
        entry.stored_length = stored.len() as u32;
        entry.stored_digest = if stored.is_empty() {
            Digest([0; 32])
        } else {
            Digest::of(stored)
        };
    }
    let entries: Vec<Entry> = segments.iter().map(|(entry, _)| *entry).collect();
    let mut bytes = write_entries(&entries);
    let (index_length, index_sha256) = (bytes.len() as u32, Digest::of(&bytes));
    segments.iter().for_each(|(_, stored)| bytes.extend(stored));
    (
        PayloadFile {
            length: bytes.len() as u64,
            index_length,
            index_sha256,
        },
        bytes,
    )
}

pub fn entry(part: PartName, number: u32, method: Method, window: Window) -> Entry {
    Entry {
        part,
        number,
        method,
        window,
        stored_length: 0,
        stored_digest: Digest([0; 32]),
    }
}

fn full(name: PartName, content: &[u8]) -> (Part, Vec<u8>) {
    let segments = || content.chunks(SEGMENT_BYTES as usize);
    let stored = segments().zip(0..).map(|(bytes, number)| {
        (
            entry(name, number, Method::Zstd, Window::default()),
            compress(&[], bytes),
        )
    });
    let (full, bytes) = file(stored.collect());
    let part = Part {
        length: content.len() as u64,
        sha256: Digest::of(content),
        segments: segments().map(Digest::of).collect(),
        full,
    };
    (part, bytes)
}

/// A release.
#[derive(Debug, Clone)]
pub struct Content {
    pub root: Vec<u8>,
    pub boot: Vec<u8>,
}

/// The second of two releases: its manifest and files, in the order root, boot, loader, patch.
#[derive(Debug, Clone)]
pub struct Release {
    pub manifest: Manifest,
    pub files: [Vec<u8>; 4],
    pub old: Content,
    pub new: Content,
}

pub fn release(old: Content, new: Content) -> Release {
    let (root, root_file) = full(PartName::Root, &new.root);
    let (boot, boot_file) = full(PartName::Boot, &new.boot);
    let (loader, loader_file) = full(PartName::Loader, b"loader");
    let mut segments = Vec::new();
    for (name, old, new) in [
        (PartName::Root, &old.root, &new.root),
        (PartName::Boot, &old.boot, &new.boot),
    ] {
        for (number, bytes) in new.chunks(SEGMENT_BYTES as usize).enumerate() {
            let start = (number * SEGMENT_BYTES as usize).min(old.len());
            let before = &old[start..(start + SEGMENT_BYTES as usize).min(old.len())];
            let window = Window {
                start: start as u64,
                length: before.len() as u32,
            };
            let of = |method, window| entry(name, number as u32, method, window);
            segments.push(if before == bytes {
                (of(Method::Copy, window), Vec::new())
            } else if before.is_empty() {
                (of(Method::Zstd, Window::default()), compress(&[], bytes))
            } else if number % 2 == 0 {
                (of(Method::Zstd, window), compress(before, bytes))
            } else {
                (of(Method::Bsdiff, window), difference(before, bytes))
            });
        }
    }
    let (patch, patch_file) = file(segments);
    let from = Source {
        version: "0.1.0".parse().unwrap(),
        root_hash: RootHash([1; 32]),
        root_length: old.root.len() as u64,
        boot_sha256: Digest::of(&old.boot),
        boot_length: old.boot.len() as u64,
    };
    let manifest = Manifest {
        format: 1,
        min_reader: 1,
        flavour: "cloud".into(),
        version: "0.2.0".parse().unwrap(),
        time: 1_700_000_000,
        verity: VerityParams {
            root_hash: RootHash([2; 32]),
            salt: RootHash([3; 32]),
            data_blocks: root.length / 4096,
        },
        floor: None,
        stores: [(
            "journal".to_owned(),
            Store {
                format: 1,
                min_reader: 1,
            },
        )]
        .into(),
        parts: Parts { root, boot, loader },
        patches: vec![Patch { from, file: patch }],
    };
    Release {
        manifest,
        files: [root_file, boot_file, loader_file, patch_file],
        old,
        new,
    }
}

/// Two releases of several segments with copies, references, differences and something new.
pub fn example() -> Release {
    let segment = SEGMENT_BYTES as usize;
    let old = Content {
        root: noise(1, segment * 3 + 8192),
        boot: noise(2, 100_000),
    };
    let mut new = old.clone();
    new.root[segment + 77] ^= 5;
    new.root[2 * segment + 99] ^= 5;
    new.root.extend(noise(3, segment));
    new.boot.splice(500..500, *b"something");
    release(old, new)
}
