//! Files of a release as an update reads them: content comes back, and nothing that was changed is taken.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use keelson_image_layout::RootHash;
use keelson_payload::index::{Entry, IndexError, parse_entries, write_entries};
use keelson_payload::{Digest, Index, Manifest, ManifestError, Method, PartName, Patch, Segment, Window};
use proptest::prelude::*;
use support::{Content, Release, example, noise, release};

fn patch(release: &Release) -> &Patch {
    let boot = Digest::of(&release.old.boot);
    release.manifest.patch_from(RootHash([1; 32]), boot).unwrap()
}

fn index_of(release: &Release, bytes: &[u8]) -> Result<Index, IndexError> {
    let patch = patch(release);
    let length = (patch.file.index_length as usize).min(bytes.len());
    Index::of_patch(&bytes[..length], &release.manifest, patch)
}

fn source<'a>(release: &'a Release, segment: &Segment) -> &'a [u8] {
    let part = if segment.part == PartName::Root {
        &release.old.root
    } else {
        &release.old.boot
    };
    let start = segment.window.start as usize;
    &part[start..start + segment.window.length as usize]
}

fn stored<'a>(bytes: &'a [u8], segment: &Segment) -> &'a [u8] {
    let range = segment.stored();
    &bytes[(range.start as usize).min(bytes.len())..(range.end as usize).min(bytes.len())]
}

/// Root and boot entry from the patch; the error's text if anything is refused.
fn apply(release: &Release, bytes: &[u8]) -> Result<Content, String> {
    let index = index_of(release, bytes).map_err(|error| error.to_string())?;
    let mut made = Content {
        root: Vec::new(),
        boot: Vec::new(),
    };
    for segment in index.segments() {
        let window = source(release, segment).to_vec();
        let content = segment.apply(window, stored(bytes, segment));
        let content = content.map_err(|error| error.to_string())?;
        if segment.part == PartName::Root {
            &mut made.root
        } else {
            &mut made.boot
        }
        .extend(content);
    }
    Ok(made)
}

#[test]
fn a_patch_and_the_full_files_give_the_release() {
    let release = example();
    let made = apply(&release, &release.files[3]).unwrap();
    assert!(made.root == release.new.root && made.boot == release.new.boot);
    let methods = |wanted| {
        let index = index_of(&release, &release.files[3]).unwrap();
        index
            .segments()
            .iter()
            .filter(|segment| segment.method == wanted)
            .count()
    };
    assert_eq!([Method::Copy, Method::Zstd, Method::Bsdiff].map(methods), [1, 3, 2]);

    let contents = [release.new.root.as_slice(), &release.new.boot, b"loader"];
    for ((name, bytes), content) in PartName::ALL.into_iter().zip(&release.files).zip(contents) {
        let length = release.manifest.part(name).full.index_length as usize;
        let index = Index::of_full(&bytes[..length], &release.manifest, name).unwrap();
        let parts = index.segments().iter();
        let made: Vec<u8> = parts
            .flat_map(|segment| segment.apply(Vec::new(), stored(bytes, segment)).unwrap())
            .collect();
        assert!(made == content);
    }
}

#[test]
fn a_manifest_reads_back() {
    let manifest = example().manifest;
    assert_eq!(Manifest::parse(&manifest.to_bytes()).unwrap(), manifest);
    let boot = patch(&example()).from.boot_sha256;
    assert!(manifest.patch_from(RootHash([9; 32]), boot).is_none());
    assert!(manifest.patch_from(RootHash([1; 32]), Digest([9; 32])).is_none());
}

#[test]
fn each_mistake_of_a_manifest_is_named() {
    type Change = fn(&mut Manifest);
    let changes: [(Change, &str); 9] = [
        (|manifest| manifest.min_reader = 2, "format 2"),
        (|manifest| manifest.parts.root.length = 0, "parts.root.length"),
        (|manifest| manifest.parts.root.length = 2 << 30, "parts.root.length"),
        (
            |manifest| manifest.parts.root.segments.truncate(1),
            "parts.root.segments",
        ),
        (
            |manifest| manifest.parts.boot.full.index_length = 2 << 20,
            "parts.boot.full.index_length",
        ),
        (
            |manifest| manifest.parts.loader.full.length = 1,
            "parts.loader.full.length",
        ),
        (|manifest| manifest.verity.data_blocks = u64::MAX, "verity.data_blocks"),
        (
            |manifest| manifest.patches[0].from.root_length = u64::MAX,
            "patches[0].from.root_length",
        ),
        (
            |manifest| manifest.patches.extend_from_within(..),
            "two from one release (0.1.0)",
        ),
    ];
    for (change, expected) in changes {
        let mut manifest = example().manifest;
        change(&mut manifest);
        let error = Manifest::parse(&manifest.to_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let long = Manifest::parse(&vec![b' '; (1 << 20) + 1]).unwrap_err();
    assert!(matches!(long, ManifestError::TooLong(_)));
}

/// An index that was signed as it is, but makes no sense.
#[test]
fn each_mistake_of_an_index_is_named() {
    type Change = fn(&mut Vec<Entry>);
    let changes: [(Change, &str); 12] = [
        (
            |entries| entries.swap(0, 1),
            "entry 0 of the index: is of another segment",
        ),
        (|entries| entries.truncate(5), "segments are missing"),
        (
            |entries| entries.push(entries[0]),
            "entry 6 of the index: is one too many",
        ),
        (
            |entries| entries[1].part = PartName::Loader,
            "entry 1 of the index: is of another segment",
        ),
        (
            |entries| entries[1].window.start = u64::MAX,
            "entry 1 of the index: has a window outside",
        ),
        (
            |entries| entries[1].window.start = 12 << 20,
            "entry 1 of the index: has a window outside",
        ),
        (
            |entries| entries[1].window.length = (8 << 20) + 1,
            "entry 1 of the index: has a window outside",
        ),
        (
            |entries| entries[1].window = Window::default(),
            "entry 1 of the index: has no window",
        ),
        (
            |entries| entries[0].window.length -= 1,
            "entry 0 of the index: is a copy",
        ),
        (
            |entries| entries[0].stored_length = 1,
            "entry 0 of the index: is a copy",
        ),
        (
            |entries| entries[1].stored_length = 5 << 20,
            "entry 1 of the index: has no length",
        ),
        (|entries| entries[1].stored_length += 1, "take another length"),
    ];
    for (change, expected) in changes {
        let mut release = example();
        let length = patch(&release).file.index_length as usize;
        let mut entries = parse_entries(&release.files[3][..length]).unwrap();
        change(&mut entries);
        let index = write_entries(&entries);
        let file = &mut release.manifest.patches[0].file;
        (file.index_length, file.index_sha256) = (index.len() as u32, Digest::of(&index));
        file.length = file.length - length as u64 + index.len() as u64;
        let error = index_of(&release, &index).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn heads_of_indices_are_read_strictly() {
    let good = write_entries(&[support::entry(PartName::Root, 0, Method::Copy, Window::default())]);
    let changes = [
        (0, "other first bytes"),
        (10, "reader of format"),
        (12, "length"),
        (16, "unknown part"),
        (18, "zeros"),
    ];
    for (at, expected) in changes {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        let error = parse_entries(&bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{at}: {error}");
    }
    for length in 0..good.len() {
        assert!(parse_entries(&good[..length]).is_err());
    }
}

#[test]
fn a_damaged_earlier_release_is_noticed() {
    let mut release = example();
    release.old.root[100] ^= 1;
    let error = apply(&release, &release.files[3]).err().unwrap();
    assert!(
        error.contains("segment 0 of root: the result is not what was released"),
        "{error}"
    );
}

/// Two releases of one segment each; the second one is the first with something else in places.
fn releases() -> impl Strategy<Value = Release> {
    let edits = prop::collection::vec((0_usize..8192, any::<u8>()), 1..20);
    (any::<u64>(), edits, 0_usize..3000).prop_map(|(seed, edits, grown)| {
        let old = Content {
            root: noise(seed, 8192),
            boot: noise(seed ^ 1, 3000),
        };
        let mut new = old.clone();
        edits.into_iter().for_each(|(at, byte)| new.root[at] = byte);
        new.boot.extend(noise(seed ^ 2, grown));
        release(old, new)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_release_comes_back(release in releases()) {
        let made = apply(&release, &release.files[3]).unwrap();
        prop_assert!(made.root == release.new.root && made.boot == release.new.boot);
    }

    #[test]
    fn any_change_of_a_file_is_refused(release in releases(), at: prop::sample::Index, bit in 0..8, cut: prop::sample::Index) {
        let mut changed = release.files[3].clone();
        let at = at.index(changed.len());
        changed[at] ^= 1_u8 << bit;
        prop_assert!(apply(&release, &changed).is_err());
        let cut = &release.files[3][..cut.index(release.files[3].len())];
        prop_assert!(apply(&release, cut).is_err());
    }
}
