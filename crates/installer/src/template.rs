//! The pristine state file system of a release, as a small file: a machine has no `mke2fs`, and this way every machine
//! starts from exactly the file system the release was tested with.
//!
//! One zstd frame of records: byte offset and length, little-endian 64 and 32 bits, then that many bytes. Records are
//! in order; one of length zero at the file system's size ends it. What no record names is zero
//! (`docs/formats/disk.md`).

use std::fs::File;
use std::io::{self, Read, Write};

use thiserror::Error;

/// Compression: a few kilobytes either way.
const LEVEL: i32 = 19;
/// Bytes of a piece.
const PIECE: usize = 4096;
/// Longest record a reader takes.
const RECORD_MOST: u32 = 1 << 20;

/// Why bytes are no template.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// It cannot be read or unpacked.
    #[error("template of the state file system")]
    Read(#[from] io::Error),
    /// A record makes no sense.
    #[error("template of the state file system is damaged at offset {offset}")]
    Damaged {
        /// Offset the record names.
        offset: u64,
    },
}

/// A piece of the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Byte offset.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Packs a file system of `len` bytes that begins at the start of `file`.
///
/// # Errors
/// The file cannot be read.
pub fn pack(file: &File, len: u64) -> io::Result<Vec<u8>> {
    use rustix::fs::{SeekFrom, seek};
    use std::os::unix::fs::FileExt;
    let mut out = zstd::Encoder::new(Vec::new(), LEVEL)?;
    let mut piece = [0; PIECE];
    let mut at = 0;
    while let Ok(start) = seek(file, SeekFrom::Data(at)) {
        if start >= len {
            break;
        }
        let end = seek(file, SeekFrom::Hole(start))?.min(len);
        for offset in (start - start % PIECE as u64..end).step_by(PIECE) {
            file.read_exact_at(&mut piece, offset)?;
            if piece.iter().any(|byte| *byte != 0) {
                record(&mut out, offset, &piece)?;
            }
        }
        at = end;
    }
    record(&mut out, len, &[])?;
    out.finish()
}

fn record(out: &mut impl Write, offset: u64, bytes: &[u8]) -> io::Result<()> {
    out.write_all(&offset.to_le_bytes())?;
    out.write_all(&(bytes.len() as u32).to_le_bytes())?;
    out.write_all(bytes)
}

/// The pieces of a packed file system in order, and its size. `most` is the largest size that makes sense.
///
/// # Errors
/// See [`TemplateError`].
pub fn unpack(packed: &[u8], most: u64) -> Result<(Vec<Piece>, u64), TemplateError> {
    let mut input = zstd::Decoder::new(packed)?;
    let (mut pieces, mut end, mut total) = (Vec::new(), 0, 0);
    loop {
        let (mut offset, mut length) = ([0; 8], [0; 4]);
        input.read_exact(&mut offset)?;
        input.read_exact(&mut length)?;
        let (offset, length) = (u64::from_le_bytes(offset), u32::from_le_bytes(length));
        total += u64::from(length);
        let fits = offset >= end && offset <= most && length <= RECORD_MOST && total <= most / 4;
        if !fits {
            return Err(TemplateError::Damaged { offset });
        }
        if length == 0 {
            return Ok((pieces, offset));
        }
        let mut bytes = vec![0; length as usize];
        input.read_exact(&mut bytes)?;
        end = offset + u64::from(length);
        pieces.push(Piece { offset, bytes });
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn what_is_packed_unpacks_and_zeros_cost_nothing() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(300 << 20).unwrap();
        file.write_all_at(&[7; 5000], 1024).unwrap();
        file.write_all_at(&[9; 4096], 200 << 20).unwrap();
        let packed = pack(&file, 256 << 20).unwrap();
        assert!(packed.len() < 1000, "{} bytes", packed.len());
        let (pieces, len) = unpack(&packed, 1 << 30).unwrap();
        assert_eq!(len, 256 << 20);
        let mut back = vec![0; 201 << 20];
        for piece in pieces {
            back[piece.offset as usize..][..piece.bytes.len()].copy_from_slice(&piece.bytes);
        }
        let mut was = vec![0; 201 << 20];
        file.read_exact_at(&mut was, 0).unwrap();
        assert!(back == was);
    }

    #[test]
    fn damaged_templates_are_refused() {
        let packed = |records: &[(u64, &[u8])]| {
            let mut out = zstd::Encoder::new(Vec::new(), 1).unwrap();
            for (offset, bytes) in records {
                record(&mut out, *offset, bytes).unwrap();
            }
            out.finish().unwrap()
        };
        let most = 1 << 20;
        assert!(unpack(&packed(&[(0, b"ab"), (2, b"c"), (9, b"")]), most).is_ok());
        for records in [
            &[(5, b"ab".as_slice()), (6, b"c")][..],
            &[(2 << 20, b"")],
            &[(0, b"ab")],
        ] {
            assert!(unpack(&packed(records), most).is_err(), "{records:?}");
        }
        assert!(unpack(b"no frame", most).is_err());
    }
}
