//! A disk of any size in memory that holds only what was written to it: a partition table is made here first, so that
//! it can be put onto the real disk in an order of our own.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes of a piece.
const PIECE: u64 = 512;

/// The disk.
#[derive(Debug, Default)]
pub struct Memory {
    len: u64,
    position: u64,
    pieces: BTreeMap<u64, [u8; PIECE as usize]>,
}

impl Memory {
    /// A disk of zeros.
    #[must_use]
    pub const fn new(len: u64) -> Memory {
        Memory {
            len,
            position: 0,
            pieces: BTreeMap::new(),
        }
    }

    /// What was written: byte offset and 512 bytes each, in order.
    pub fn written(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pieces
            .iter()
            .map(|(index, piece)| (index * PIECE, piece.as_slice()))
    }

    /// How much of `wanted` lies in the piece at the position, and where in it.
    fn span(&self, wanted: usize) -> (u64, usize, usize) {
        let within = (self.position % PIECE) as usize;
        let left = usize::try_from(self.len.saturating_sub(self.position)).unwrap_or(usize::MAX);
        (
            self.position / PIECE,
            within,
            wanted.min(PIECE as usize - within).min(left),
        )
    }
}

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (index, within, count) = self.span(buffer.len());
        let target = buffer.get_mut(..count).unwrap_or_default();
        match self
            .pieces
            .get(&index)
            .and_then(|piece| piece.get(within..within + count))
        {
            Some(bytes) => target.copy_from_slice(bytes),
            None => target.fill(0),
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Memory {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let (index, within, count) = self.span(buffer.len());
        if count == 0 {
            return Ok(0);
        }
        let piece = self.pieces.entry(index).or_insert([0; PIECE as usize]);
        if let (Some(target), Some(source)) = (piece.get_mut(within..within + count), buffer.get(..count)) {
            target.copy_from_slice(source);
        }
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Memory {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_nothing_else_is_kept() {
        let mut disk = Memory::new(1 << 40);
        disk.seek(SeekFrom::End(-700)).unwrap();
        disk.write_all(&[7; 700]).unwrap();
        assert_eq!(disk.write(&[1]).unwrap(), 0, "the disk has an end");
        disk.seek(SeekFrom::Start((1 << 40) - 701)).unwrap();
        let mut back = Vec::new();
        disk.read_to_end(&mut back).unwrap();
        assert_eq!((back[0], &back[1..]), (0, [7; 700].as_slice()));
        assert_eq!(disk.written().count(), 2);
    }
}
