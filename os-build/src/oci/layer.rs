//! Layers: a gzip of a tar whose entries belong to root and carry no time, so that the same files give the same digest.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::{Blob, Layer};
use crate::digest::{hex, sha256};

/// One entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path without leading slash.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file with its content.
    File(Vec<u8>),
    /// A symbolic link to this path.
    Link(String),
}

impl Entry {
    /// A folder.
    #[must_use]
    pub fn folder(path: &str, mode: u32) -> Entry {
        Entry {
            path: path.to_owned(),
            mode,
            kind: Kind::Folder,
        }
    }

    /// A file.
    #[must_use]
    pub fn file(path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Entry {
        Entry {
            path: path.to_owned(),
            mode,
            kind: Kind::File(content.into()),
        }
    }

    /// A symbolic link.
    #[must_use]
    pub fn link(path: &str, target: &str) -> Entry {
        Entry {
            path: path.to_owned(),
            mode: 0o777,
            kind: Kind::Link(target.to_owned()),
        }
    }
}

/// A layer of these entries, in their order.
///
/// # Errors
/// A path or link is too long for the format.
pub fn layer(entries: &[Entry]) -> io::Result<Layer> {
    let mut builder = Builder::new(Vec::new());
    for entry in entries {
        append(&mut builder, entry)?;
    }
    let tar = builder.into_inner()?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(&tar)?;
    Ok(Layer {
        blob: Blob::new(encoder.finish()?),
        diff_id: format!("sha256:{}", hex(&sha256(&tar))),
    })
}

fn append(builder: &mut Builder<Vec<u8>>, entry: &Entry) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    match &entry.kind {
        Kind::Folder => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, &entry.path, io::empty())
        }
        Kind::File(content) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, &entry.path, content.as_slice())
        }
        Kind::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, &entry.path, target)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_back() {
        let entries = [
            Entry::folder("etc", 0o755),
            Entry::file("etc/x", 0o640, "text"),
            Entry::link("lib", "usr/lib"),
        ];
        let made = layer(&entries).unwrap();
        let tar = flate2::read::GzDecoder::new(made.blob.bytes.as_slice());
        let mut archive = tar::Archive::new(tar);
        let found: Vec<(String, u32)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (
                    entry.path().unwrap().display().to_string(),
                    entry.header().mode().unwrap(),
                )
            })
            .collect();
        let expected = [("etc", 0o755), ("etc/x", 0o640), ("lib", 0o777)].map(|(path, mode)| (path.to_owned(), mode));
        assert_eq!(found, expected);
    }
}
