//! A part of a file seen as a device of its own, and copying that leaves holes where there are only zeros.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::seek;

/// Bytes `start..start + len` of a file. Reading and writing beyond its end is refused.
#[derive(Debug)]
pub struct Region<'a> {
    file: &'a File,
    start: u64,
    len: u64,
    position: u64,
}

impl<'a> Region<'a> {
    /// A view of `len` bytes from `start`.
    #[must_use]
    pub const fn new(file: &'a File, start: u64, len: u64) -> Region<'a> {
        Region {
            file,
            start,
            len,
            position: 0,
        }
    }

    fn clip(&self, wanted: usize) -> usize {
        let left = self.len.saturating_sub(self.position);
        usize::try_from(left).map_or(wanted, |left| wanted.min(left))
    }
}

impl Read for Region<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = self.clip(buffer.len());
        let target = buffer.get_mut(..wanted).unwrap_or_default();
        let read = self.file.read_at(target, self.start + self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Write for Region<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let wanted = self.clip(buffer.len());
        if wanted == 0 && !buffer.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "beyond the end of the partition",
            ));
        }
        let written = self
            .file
            .write_at(buffer.get(..wanted).unwrap_or_default(), self.start + self.position)?;
        self.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Region<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        let outside = || {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "position before the start of the partition",
            )
        };
        self.position = target.ok_or_else(outside)?;
        Ok(self.position)
    }
}

/// A region that takes no writes: the FAT library asks for a device it could write to.
#[derive(Debug)]
pub struct ReadOnly<'a>(pub Region<'a>);

impl Read for ReadOnly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for ReadOnly<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for ReadOnly<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

const CHUNK: usize = 1 << 16;

/// Copies `from` to `start` of a file that holds only zeros there, skipping chunks of zeros; says how many bytes
/// `from` had.
///
/// # Errors
/// Reading or writing failed.
pub fn copy_sparse(from: &mut impl Read, to: &File, start: u64) -> io::Result<u64> {
    let mut copied = 0;
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        chunk.clear();
        let read = from.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
        if read == 0 {
            return Ok(copied);
        }
        if chunk.iter().any(|byte| *byte != 0) {
            to.write_all_at(&chunk, start + copied)?;
        }
        copied += read as u64;
    }
}

/// Copies a sparse file with its holes and makes it `len` bytes long, at least its own length.
///
/// # Errors
/// Reading or writing failed.
pub fn copy_holes(from: &Path, to: &Path, len: u64) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = File::create(to)?;
    target.set_len(len.max(source.metadata()?.len()))?;
    let mut at = 0;
    while let Ok(start) = seek(&source, rustix::fs::SeekFrom::Data(at)) {
        at = seek(&source, rustix::fs::SeekFrom::Hole(start))?;
        source.seek(SeekFrom::Start(start))?;
        target.seek(SeekFrom::Start(start))?;
        io::copy(&mut Read::by_ref(&mut source).take(at - start), &mut target)?;
    }
    Ok(())
}

/// Moves a finished disk to where it was asked for; copies, keeping holes, if that is another file system.
///
/// # Errors
/// A folder or file cannot be written; what was at `out` then is still there.
pub fn put_in_place(disk: &Path, out: &Path) -> io::Result<()> {
    if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    if std::fs::rename(disk, out).is_ok() {
        return Ok(());
    }
    let part = out.with_extension("part");
    copy_holes(disk, &part, 0)?;
    File::open(&part)?.sync_all()?;
    std::fs::rename(&part, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_cannot_be_left() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100).unwrap();
        let mut region = Region::new(&file, 10, 5);
        assert!(region.write_all(b"123456").is_err());
        region.seek(SeekFrom::Start(0)).unwrap();
        let mut back = Vec::new();
        region.read_to_end(&mut back).unwrap();
        assert_eq!(back, b"12345");
        assert!(region.seek(SeekFrom::End(-6)).is_err());
        let mut whole = vec![0; 100];
        file.read_exact_at(&mut whole, 0).unwrap();
        assert!(whole[15..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn zeros_become_holes_and_content_is_kept() {
        use std::os::unix::fs::MetadataExt;
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 << 20).unwrap();
        let mut content = vec![0; 32 << 20];
        content[20 << 20] = 7;
        assert_eq!(copy_sparse(&mut content.as_slice(), &file, 4096).unwrap(), 32 << 20);
        let mut byte = [0];
        file.read_exact_at(&mut byte, 4096 + (20 << 20)).unwrap();
        assert_eq!(byte, [7]);
        assert!(file.metadata().unwrap().blocks() * 512 < 1 << 20);
    }

    #[test]
    fn copies_keep_holes_and_may_be_longer() {
        use std::os::unix::fs::MetadataExt;
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        let file = File::create(&from).unwrap();
        file.set_len(16 << 20).unwrap();
        file.write_all_at(b"data", 5 << 20).unwrap();
        copy_holes(&from, &to, 32 << 20).unwrap();
        let copy = std::fs::metadata(&to).unwrap();
        assert_eq!(copy.len(), 32 << 20);
        assert!(copy.blocks() * 512 < 1 << 20);
        let mut bytes = [0; 4];
        File::open(&to).unwrap().read_exact_at(&mut bytes, 5 << 20).unwrap();
        assert_eq!(&bytes, b"data");
    }
}
