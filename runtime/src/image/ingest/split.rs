//! The split stream: a layer's tar with the contents of its larger files replaced by the objects that
//! hold them. From it and the objects the tar can be rebuilt byte for byte; parsed alone, it is the
//! list of a layer's entries.
//!
//! ```text
//! "KLAYER\0\x01", then one zstd stream of records:
//!   0x01 length:u32 bytes…        tar bytes as they are
//!   0x02 digest:[u8;32] size:u64  contents of a file: `size` bytes of this object
//!   0x00                          end; without it the stream is torn
//! ```

use std::io::{self, BufReader, ErrorKind, Read, Write};

use crate::image::digest::Digest;

const MAGIC: [u8; 8] = *b"KLAYER\0\x01";
const RAW: u8 = 1;
const OBJECT: u8 = 2;
const END: u8 = 0;
/// Raw bytes are gathered up to this many.
const RAW_MAX: usize = 64 * 1024;

/// Writes a split stream.
pub struct SplitWriter<W: Write> {
    out: zstd::stream::write::Encoder<'static, W>,
    raw: Vec<u8>,
}

impl<W: Write> SplitWriter<W> {
    /// Begins a stream.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        Ok(Self {
            out: zstd::stream::write::Encoder::new(out, 1)?,
            raw: Vec::with_capacity(RAW_MAX),
        })
    }

    /// Adds tar bytes.
    ///
    /// # Errors
    /// What the output says.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(RAW_MAX) {
            if self.raw.len() + part.len() > RAW_MAX {
                self.flush_raw()?;
            }
            self.raw.extend_from_slice(part);
        }
        Ok(())
    }

    /// Adds a file's contents by reference.
    ///
    /// # Errors
    /// What the output says.
    pub fn object(&mut self, object: &Digest, size: u64) -> io::Result<()> {
        self.flush_raw()?;
        self.out.write_all(&[OBJECT])?;
        self.out.write_all(object.as_bytes())?;
        self.out.write_all(&size.to_le_bytes())
    }

    /// Ends the stream and gives the output back.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush_raw()?;
        self.out.write_all(&[END])?;
        self.out.finish()
    }

    fn flush_raw(&mut self) -> io::Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(self.raw.len()).map_err(|_| ErrorKind::InvalidInput)?;
        self.out.write_all(&[RAW])?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&self.raw)?;
        self.raw.clear();
        Ok(())
    }
}

/// Contents of a file in a split stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SplitContent {
    /// The bytes.
    Bytes(Vec<u8>),
    /// This object.
    Object(Digest),
}

/// Where the next byte comes from.
enum Position {
    Raw(usize),
    Object(Digest, u64),
    End,
}

/// Reads a split stream: tar bytes by [`Read`], contents by [`SplitReader::content`].
pub struct SplitReader<'a> {
    stream: Box<dyn Read + 'a>,
    position: Position,
}

impl<'a> SplitReader<'a> {
    /// Begins to read.
    ///
    /// # Errors
    /// `InvalidData` when this is no split stream.
    pub fn new(mut stream: impl Read + 'a) -> io::Result<Self> {
        let mut magic = [0; MAGIC.len()];
        stream.read_exact(&mut magic)?;
        if magic != MAGIC {
            return Err(ErrorKind::InvalidData.into());
        }
        let stream = BufReader::new(zstd::stream::read::Decoder::new(stream)?);
        let mut reader = Self {
            stream: Box::new(stream),
            position: Position::Raw(0),
        };
        reader.advance()?;
        Ok(reader)
    }

    /// The contents of the entry just read, at most `inline_max` bytes unless they are an object.
    ///
    /// # Errors
    /// `InvalidData` when the stream holds something else here.
    pub fn content(&mut self, size: u64, inline_max: u64) -> io::Result<SplitContent> {
        if let Position::Object(object, stated) = self.position {
            if stated != size {
                return Err(ErrorKind::InvalidData.into());
            }
            self.position = Position::Raw(0);
            self.advance()?;
            return Ok(SplitContent::Object(object));
        }
        if size > inline_max {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        self.read_exact(&mut bytes)?;
        Ok(SplitContent::Bytes(bytes))
    }

    /// Every object of the rest of the stream, in order.
    ///
    /// # Errors
    /// As reading.
    pub fn next_object(&mut self) -> io::Result<Option<(Digest, u64)>> {
        loop {
            match self.position {
                Position::End => return Ok(None),
                Position::Object(object, size) => {
                    self.position = Position::Raw(0);
                    self.advance()?;
                    return Ok(Some((object, size)));
                }
                Position::Raw(left) => {
                    io::copy(&mut (&mut self.stream).take(left as u64), &mut io::sink())?;
                    self.position = Position::Raw(0);
                    self.advance()?;
                }
            }
        }
    }

    /// Bytes of the rest of the tar: raw ones and those of objects.
    ///
    /// # Errors
    /// As reading.
    pub fn remaining_tar(mut self) -> io::Result<u64> {
        let mut total = 0_u64;
        loop {
            match self.position {
                Position::End => return Ok(total),
                Position::Object(_, size) => total = total.saturating_add(size),
                Position::Raw(left) => {
                    total = total.saturating_add(left as u64);
                    io::copy(&mut (&mut self.stream).take(left as u64), &mut io::sink())?;
                }
            }
            self.position = Position::Raw(0);
            self.advance()?;
        }
    }

    /// Moves on to the next record when the current one is used up.
    fn advance(&mut self) -> io::Result<()> {
        while let Position::Raw(0) = self.position {
            self.position = match self.bytes::<1>()? {
                [RAW] => {
                    let length = u32::from_le_bytes(self.bytes()?) as usize;
                    if length == 0 || length > RAW_MAX {
                        return Err(ErrorKind::InvalidData.into());
                    }
                    Position::Raw(length)
                }
                [OBJECT] => {
                    let digest = Digest::from_bytes(self.bytes()?);
                    Position::Object(digest, u64::from_le_bytes(self.bytes()?))
                }
                [END] => Position::End,
                _ => return Err(ErrorKind::InvalidData.into()),
            };
        }
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl Read for SplitReader<'_> {
    /// Tar bytes; an object in the way is an error, the end is the end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.position {
            Position::End => Ok(0),
            Position::Object(..) => Err(ErrorKind::InvalidData.into()),
            Position::Raw(left) => {
                let want = left.min(buffer.len());
                let (part, _) = buffer.split_at_mut(want);
                self.stream.read_exact(part)?;
                self.position = Position::Raw(left - want);
                self.advance()?;
                Ok(want)
            }
        }
    }
}

impl<W: Write> std::fmt::Debug for SplitWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SplitWriter").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SplitReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SplitReader").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut writer = SplitWriter::new(Vec::new()).unwrap();
        writer.raw(&[7; 200_000]).unwrap();
        writer.object(&Digest::of(b"x"), 99).unwrap();
        writer.object(&Digest::of(b"y"), 98).unwrap();
        writer.raw(b"tail").unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn reads_what_it_wrote() {
        let stream = sample();
        let mut reader = SplitReader::new(stream.as_slice()).unwrap();
        let mut raw = vec![0; 200_000];
        reader.read_exact(&mut raw).unwrap();
        assert!(raw.iter().all(|byte| *byte == 7));
        assert!(reader.read(&mut [0]).is_err());
        assert_eq!(reader.content(99, 0).unwrap(), SplitContent::Object(Digest::of(b"x")));
        assert!(reader.content(1, 64).is_err());
        assert_eq!(reader.next_object().unwrap(), Some((Digest::of(b"y"), 98)));
        assert_eq!(reader.content(4, 64).unwrap(), SplitContent::Bytes(b"tail".to_vec()));
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn counts_the_bytes_of_the_tar() {
        let stream = sample();
        let size = SplitReader::new(stream.as_slice()).unwrap().remaining_tar().unwrap();
        assert_eq!(size, 200_000 + 99 + 98 + 4);
    }

    #[test]
    fn a_torn_stream_is_an_error() {
        let stream = sample();
        for length in [0, 7, 8, 30, stream.len() - 10] {
            let torn = SplitReader::new(&stream[..length]).and_then(|mut reader| {
                while reader.next_object()?.is_some() {}
                Ok(())
            });
            assert!(torn.is_err(), "{length}");
        }
    }
}
