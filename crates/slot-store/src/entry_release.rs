//! What a boot entry says of itself: `keelson/release.json` in the second archive of its initramfs. Read from a file
//! whose digest was compared before.
//!
//! Sources: Microsoft PE/COFF specification (section table); kernel `buffer-format.rst` (newc);
//! `docs/formats/disk.md` (how the initramfs is put together).

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use keelson_image_layout::{Release, paths};
use ruzstd::decoding::StreamingDecoder;
use thiserror::Error;

/// Headers of a PE file lie within this many bytes.
const HEAD: u64 = 64 << 10;
/// A longer description is none of ours.
const MOST_BYTES: u64 = 64 << 10;
/// Bytes of a "newc" header.
const NEWC: usize = 110;

/// Why a boot entry does not say what it is.
#[derive(Debug, Error)]
pub enum EntryError {
    /// It could not be read or unpacked.
    #[error("the boot entry cannot be read")]
    Read(#[from] io::Error),
    /// It is no PE file with an initramfs.
    #[error("the boot entry has no section .initrd")]
    NoInitramfs,
    /// The initramfs holds no description.
    #[error("the initramfs of the boot entry holds no {}", paths::RELEASE)]
    NoRelease,
    /// The description is not of the agreed form.
    #[error("the release description in the boot entry cannot be understood")]
    Form(#[source] serde_json::Error),
}

/// The release a boot entry belongs to.
///
/// # Errors
/// [`EntryError`].
pub fn read_release(entry: &mut (impl Read + Seek)) -> Result<Release, EntryError> {
    let mut head = Vec::new();
    entry.seek(SeekFrom::Start(0))?;
    entry.by_ref().take(HEAD).read_to_end(&mut head)?;
    let place = section(&head, b".initrd").ok_or(EntryError::NoInitramfs)?;
    let after_first = skip_archive(entry, &place)?;
    let text = find_release(entry, after_first..place.end)?.ok_or(EntryError::NoRelease)?;
    serde_json::from_slice(&text).map_err(EntryError::Form)
}

/// Where a section's bytes lie in the file.
#[must_use]
pub fn section(head: &[u8], name: &[u8]) -> Option<Range<u64>> {
    let number = |at: usize, bytes: usize| {
        let field = head.get(at..at.checked_add(bytes)?)?;
        Some(
            field
                .iter()
                .rev()
                .fold(0usize, |sum, byte| sum << 8 | usize::from(*byte)),
        )
    };
    let coff = number(0x3c, 4)?.checked_add(4)?;
    let signature = head.get(coff.checked_sub(4)?..coff)?;
    let (sections, optional) = (number(coff + 2, 2)?, number(coff + 16, 2)?);
    let table = coff + 20 + optional;
    let found = (0..sections).map(|index| table + index * 40).find(|at| {
        let padded = head.get(*at..at + 8);
        padded.is_some_and(|padded| {
            padded
                .strip_prefix(name)
                .is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
        })
    })?;
    // The size in memory is that of the content, the one in the file is rounded up.
    let (memory, raw, start) = (number(found + 8, 4)?, number(found + 16, 4)?, number(found + 20, 4)?);
    let end = start.checked_add(memory.min(raw))?;
    (signature == b"PE\0\0").then_some(start as u64..end as u64)
}

/// Where the second archive begins: behind the first frame, on a multiple of four bytes of the initramfs.
fn skip_archive(entry: &mut (impl Read + Seek), place: &Range<u64>) -> io::Result<u64> {
    entry.seek(SeekFrom::Start(place.start))?;
    let mut counted = Counted {
        inner: io::BufReader::new(entry.by_ref().take(place.end.saturating_sub(place.start))),
        bytes: 0,
    };
    io::copy(&mut unpack(&mut counted)?, &mut io::sink())?;
    Ok(place.start + counted.bytes.next_multiple_of(4))
}

struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(to)?;
        self.bytes += count as u64;
        Ok(count)
    }
}

fn unpack<R: Read>(frame: R) -> io::Result<impl Read> {
    StreamingDecoder::new(frame).map_err(io::Error::other)
}

fn find_release(entry: &mut (impl Read + Seek), place: Range<u64>) -> io::Result<Option<Vec<u8>>> {
    entry.seek(SeekFrom::Start(place.start))?;
    let frame = io::BufReader::new(entry.take(place.end.saturating_sub(place.start)));
    find_file(&mut unpack(frame)?, paths::RELEASE.trim_start_matches('/'))
}

/// The content of a file in an archive.
fn find_file(archive: &mut impl Read, wanted: &str) -> io::Result<Option<Vec<u8>>> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the initramfs is no archive");
    loop {
        let mut header = [0; NEWC];
        archive.read_exact(&mut header)?;
        let field = |index: usize| {
            let digits = header.get(6 + index * 8..14 + index * 8)?;
            u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        let (size, name_size) = (field(6).ok_or_else(malformed)?, field(11).ok_or_else(malformed)?);
        if !header.starts_with(b"070701") || name_size > 4096 {
            return Err(malformed());
        }
        let padded = (NEWC as u64 + name_size).next_multiple_of(4) - NEWC as u64;
        let mut name = Vec::new();
        archive.take(padded).read_to_end(&mut name)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if name == b"TRAILER!!!" {
            return Ok(None);
        }
        if name == wanted.as_bytes() && size <= MOST_BYTES {
            let mut content = Vec::new();
            archive.take(size).read_to_end(&mut content)?;
            return Ok(Some(content));
        }
        io::copy(&mut archive.take(size.next_multiple_of(4)), &mut io::sink())?;
    }
}

#[cfg(test)]
#[path = "entry_release_example.rs"]
mod example;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    use super::example::{archive, frame, program};

    pub(crate) use super::example::entry_of;

    #[test]
    fn an_entry_says_which_release_it_belongs_to() {
        let verity = keelson_image_layout::verity::VerityParams {
            root_hash: keelson_image_layout::RootHash([3; 32]),
            salt: keelson_image_layout::RootHash([4; 32]),
            data_blocks: 5,
        };
        let release = Release {
            format: 1,
            version: "7.1".to_owned(),
            kernel: String::new(),
            time: 1,
            verity,
        };
        let entry = entry_of(&release);
        assert_eq!(read_release(&mut io::Cursor::new(&entry)).unwrap(), release);
        let cut = entry.get(..entry.len() - 1024).unwrap();
        assert!(read_release(&mut io::Cursor::new(cut)).is_err());
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for bytes in [&b""[..], b"MZ", &[0; 70], &[0xff; 4096]] {
            let answer = read_release(&mut io::Cursor::new(bytes));
            assert!(matches!(answer, Err(EntryError::NoInitramfs)), "{answer:?}");
        }
        let none = program(&[frame(&archive(&[])), frame(&archive(&[("init", b"1")]))].concat());
        let answer = read_release(&mut io::Cursor::new(none));
        assert!(matches!(answer, Err(EntryError::NoRelease)), "{answer:?}");
    }
}
