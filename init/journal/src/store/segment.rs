//! A file of the store: a header, then records in order. Written only at its end.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::record::{self, PREFIX_BYTES};
use crate::entry::Entry;

/// Bytes of a segment's header.
pub const HEADER_BYTES: u64 = 64;
const MAGIC: &[u8; 8] = b"KEELJRNL";
const FORMAT: u16 = 1;

/// A segment on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The file.
    pub path: PathBuf,
    /// Number of its first entry.
    pub first_seq: u64,
    /// Bytes that hold valid records, header included.
    pub bytes: u64,
}

/// File name of the segment that begins with an entry.
#[must_use]
pub fn file_name(first_seq: u64) -> String {
    format!("{first_seq:016x}.journal")
}

/// The first entry's number out of a file name.
#[must_use]
pub fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".journal").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

fn header(first_seq: u64) -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    let fields = MAGIC
        .iter()
        .copied()
        .chain(FORMAT.to_le_bytes())
        .chain(FORMAT.to_le_bytes())
        .chain([0; 4]);
    header
        .iter_mut()
        .zip(fields.chain(first_seq.to_le_bytes()))
        .for_each(|(to, from)| *to = from);
    let (body, sum) = header.split_at_mut(60);
    sum.copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
    header
}

impl Segment {
    /// Makes an empty segment.
    ///
    /// # Errors
    /// The file cannot be made; a half-made one is removed.
    pub fn create(directory: &Path, first_seq: u64) -> io::Result<(Segment, File)> {
        let path = directory.join(file_name(first_seq));
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        if let Err(error) = file.write_all(&header(first_seq)) {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok((
            Segment {
                path,
                first_seq,
                bytes: HEADER_BYTES,
            },
            file,
        ))
    }

    /// A segment found on disk whose records are not looked at before somebody reads them; whatever its end holds counts
    /// to its size. `None` if the file is no segment of a format this release reads.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(path: &Path, first_seq: u64) -> io::Result<Option<Segment>> {
        let file = File::open(path)?;
        let mut found = [0; HEADER_BYTES as usize];
        if file.read_exact_at(&mut found, 0).is_err() || found != header(first_seq) {
            return Ok(None);
        }
        Ok(Some(Segment {
            path: path.to_owned(),
            first_seq,
            bytes: file.metadata()?.len(),
        }))
    }

    /// Opens a segment found on disk and finds the end of its valid records, looking at each entry on the way.
    /// `None` if the file is no segment of a format this release reads.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn scan(path: &Path, first_seq: u64, mut visit: impl FnMut(&Entry)) -> io::Result<Option<Segment>> {
        let Some(mut segment) = Segment::open(path, first_seq)? else {
            return Ok(None);
        };
        let file = File::open(path)?;
        let mut at = HEADER_BYTES;
        while let Some((entry, size)) = segment.read(&file, at)? {
            visit(&entry);
            at += size;
        }
        segment.bytes = at;
        Ok(Some(segment))
    }

    /// Reads the record at an offset; `None` at the end of the valid records.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self, file: &File, at: u64) -> io::Result<Option<(Entry, u64)>> {
        if at >= self.bytes {
            return Ok(None);
        }
        let mut prefix = [0; PREFIX_BYTES];
        if !read_whole(file, &mut prefix, at)? {
            return Ok(None);
        }
        let Ok(length) = record::body_length(prefix) else {
            return Ok(None);
        };
        let mut data = vec![0; PREFIX_BYTES + length];
        if !read_whole(file, &mut data, at)? {
            return Ok(None);
        }
        Ok(record::decode(&data).ok().map(|(entry, size)| (entry, size as u64)))
    }
}

/// Reads all of `buffer`, or says that the file ends before.
fn read_whole(file: &File, buffer: &mut [u8], at: u64) -> io::Result<bool> {
    match file.read_exact_at(buffer, at) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_read_back_and_sort_by_age() {
        assert_eq!(parse_file_name(&file_name(255)), Some(255));
        assert!(file_name(9) < file_name(16));
        for name in ["x.journal", "00.journal", "format", "000000000000000g.journal"] {
            assert_eq!(parse_file_name(name), None);
        }
    }
}
