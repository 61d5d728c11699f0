//! Files with segments, and the manifest that describes them.

use std::io;

use anyhow::{Context, Result, ensure};
use keelson_payload::index::write_entries;
use keelson_payload::manifest::{FORMAT, Parts};
use keelson_payload::{
    Digest, Index, Manifest, Part, PartName, Patch, PayloadFile, SEGMENT_BYTES, Segment, Source, Version,
};

use super::encode::{self, Stored};
use super::{Content, Earlier, stores};

/// A file of a release and its name within the release's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// For instance `root.frames`.
    pub name: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// A release as files, the manifest first.
#[derive(Debug, Clone)]
pub struct Files {
    /// The description.
    pub manifest: Manifest,
    /// All files.
    pub files: Vec<File>,
}

/// Makes the files of a release with patches from `earlier` ones, and reads all of them back as a machine does.
///
/// # Errors
/// An encoder failed, or what it made does not give the release.
pub fn make(content: &Content, earlier: &[Earlier], floor: Option<Version>, say: &dyn Fn(&str)) -> Result<Files> {
    let mut files = Vec::new();
    let mut full = |name: PartName| {
        say(&format!("{name} in full"));
        full_file(name, content.part(name), &mut files)
    };
    let parts = Parts {
        root: full(PartName::Root)?,
        boot: full(PartName::Boot)?,
        loader: full(PartName::Loader)?,
    };
    let mut patches = Vec::new();
    for old in earlier {
        say(&format!("patch from {}", old.version));
        patches.push(patch_file(old, content, &mut files)?);
    }
    let manifest = Manifest {
        format: FORMAT,
        min_reader: FORMAT,
        flavour: content.naming.flavour.name().to_owned(),
        version: content.naming.version.parse()?,
        time: content.naming.time,
        verity: content.verity.clone(),
        floor,
        stores: stores::all(),
        parts,
        patches,
    };
    say("reading back");
    let bytes = manifest.to_bytes();
    ensure!(Manifest::parse(&bytes)? == manifest, "the manifest does not read back");
    check(&manifest, &files, content, earlier)?;
    files.insert(
        0,
        File {
            name: "manifest.json".to_owned(),
            bytes,
        },
    );
    Ok(Files { manifest, files })
}

/// Name of the file with all of a part.
#[must_use]
pub fn full_name(part: PartName) -> String {
    format!("{part}.frames")
}

/// Name of the patch from a version.
#[must_use]
pub fn patch_name(version: &Version) -> String {
    format!("from-{version}.patch")
}

fn full_file(name: PartName, content: &[u8], files: &mut Vec<File>) -> io::Result<Part> {
    let full = put(files, full_name(name), &encode::full(name, content)?);
    Ok(Part {
        length: content.len() as u64,
        sha256: Digest::of(content),
        segments: content.chunks(SEGMENT_BYTES as usize).map(Digest::of).collect(),
        full,
    })
}

fn patch_file(old: &Earlier, new: &Content, files: &mut Vec<File>) -> io::Result<Patch> {
    let mut segments = encode::patch(PartName::Root, &old.root, &new.root)?;
    segments.extend(encode::patch(PartName::Boot, &old.boot, &new.boot)?);
    let from = Source {
        version: old.version.clone(),
        root_hash: old.root_hash,
        root_length: old.root.len() as u64,
        boot_sha256: Digest::of(&old.boot),
        boot_length: old.boot.len() as u64,
    };
    let file = put(files, patch_name(&old.version), &segments);
    Ok(Patch { from, file })
}

fn put(files: &mut Vec<File>, name: String, segments: &[Stored]) -> PayloadFile {
    let entries: Vec<_> = segments.iter().map(|(entry, _)| *entry).collect();
    let mut bytes = write_entries(&entries);
    let (index_length, index_sha256) = (u32::try_from(bytes.len()).unwrap_or(u32::MAX), Digest::of(&bytes));
    segments.iter().for_each(|(_, stored)| bytes.extend_from_slice(stored));
    let length = bytes.len() as u64;
    files.push(File { name, bytes });
    PayloadFile {
        length,
        index_length,
        index_sha256,
    }
}

/// Applies every segment of every file.
fn check(manifest: &Manifest, files: &[File], new: &Content, earlier: &[Earlier]) -> Result<()> {
    let find = |name: String| {
        let found = files.iter().find(|file| file.name == name);
        found
            .map(|file| file.bytes.as_slice())
            .with_context(|| format!("no file {name}"))
    };
    for part in PartName::ALL {
        let bytes = find(full_name(part))?;
        let index = Index::of_full(head(bytes, &manifest.part(part).full), manifest, part)?;
        for segment in index.segments() {
            check_segment(segment, bytes, &[], new)?;
        }
    }
    for (patch, old) in manifest.patches.iter().zip(earlier) {
        let bytes = find(patch_name(&old.version))?;
        let index = Index::of_patch(head(bytes, &patch.file), manifest, patch)?;
        for segment in index.segments() {
            check_segment(segment, bytes, old.part(segment.part), new)?;
        }
    }
    Ok(())
}

fn check_segment(segment: &Segment, file: &[u8], old: &[u8], new: &Content) -> Result<()> {
    let content = segment.apply(
        piece(old, segment.window.start, segment.window.length.into()).to_vec(),
        piece(
            file,
            segment.stored().start,
            segment.stored().end - segment.stored().start,
        ),
    )?;
    let expected = piece(new.part(segment.part), segment.start(), segment.length.into());
    ensure!(
        content == expected,
        "segment {} of {} reads back as something else",
        segment.number,
        segment.part
    );
    Ok(())
}

/// The index of a file.
pub(super) fn head<'a>(bytes: &'a [u8], file: &PayloadFile) -> &'a [u8] {
    bytes.get(..file.index_length as usize).unwrap_or(bytes)
}

/// `length` bytes from `start`; fewer if there are not so many.
pub(super) fn piece(bytes: &[u8], start: u64, length: u64) -> &[u8] {
    let range = usize::try_from(start)
        .ok()
        .zip(usize::try_from(start.saturating_add(length)).ok());
    range.and_then(|(start, end)| bytes.get(start..end)).unwrap_or_default()
}

#[cfg(test)]
#[path = "file_test.rs"]
mod tests;
