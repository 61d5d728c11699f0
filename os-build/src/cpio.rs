//! Writer and reader of the kernel's initramfs archive, "newc". Owner root, no times, inode numbers by position: the same entries
//! give the same bytes.
//!
//! Source: kernel `Documentation/driver-api/early-userspace/buffer-format.rst`.

/// An archive under construction. Parents come before children; the caller adds both.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const DEVICE: u32 = 0o020_000;

impl Archive {
    /// A folder, by its path without leading slash.
    pub fn folder(&mut self, path: &str) {
        self.entry(path, DIRECTORY | 0o755, (0, 0), &[]);
    }

    /// A file.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entry(path, REGULAR | mode, (0, 0), content);
    }

    /// A character device.
    pub fn character_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) {
        self.entry(path, DEVICE | mode, (major, minor), &[]);
    }

    /// The finished archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let links = if mode & DIRECTORY != 0 && mode & REGULAR == 0 {
            2
        } else {
            1
        };
        let fields = [
            self.entries,
            mode,
            0, // uid
            0, // gid
            links,
            0, // mtime
            content.len() as u32,
            0, // device of the file system, major
            0, // and minor
            device.0,
            device.1,
            path.len() as u32 + 1,
            0, // checksum, not used by this variant
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A file of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed<'a> {
    /// Path without leading slash.
    pub path: &'a str,
    /// Content.
    pub content: &'a [u8],
}

/// Bytes of the fixed part of an entry's head.
const HEAD: usize = 110;
/// Name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// The regular files of an archive as [`Archive`] writes it, and every byte that is in none of them: heads and filling.
/// `None` if it is no such archive, or something follows its end.
#[must_use]
pub fn read(archive: &[u8]) -> Option<(Vec<Packed<'_>>, Vec<u8>)> {
    let (mut files, mut between) = (Vec::new(), Vec::new());
    let mut at = 0_usize;
    loop {
        let head = archive.get(at..at.checked_add(HEAD)?)?.strip_prefix(b"070701")?;
        let field = |index: usize| {
            let digits = head.get(index * 8..index * 8 + 8)?;
            usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        let (mode, len, name_len) = (field(1)?, field(6)?, field(11)?);
        let name_at = at + HEAD;
        let name = archive
            .get(name_at..name_at.checked_add(name_len)?)?
            .strip_suffix(b"\0")?;
        let path = std::str::from_utf8(name).ok()?;
        let content_at = (name_at + name_len).next_multiple_of(4);
        let content_end = content_at.checked_add(len)?;
        let content = archive.get(content_at..content_end)?;
        let next = content_end.next_multiple_of(4);
        between.extend_from_slice(archive.get(at..content_at)?);
        between.extend_from_slice(archive.get(content_end..next)?);
        if path == TRAILER {
            return (next == archive.len()).then_some((files, between));
        }
        if mode & 0o170_000 == REGULAR as usize {
            files.push(Packed { path, content });
        } else if len > 0 {
            return None;
        }
        at = next;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    fn sample() -> Vec<u8> {
        let mut archive = Archive::default();
        archive.folder("dev");
        archive.character_device("dev/console", 0o600, 5, 1);
        archive.file("init", 0o755, b"#!hello");
        archive.file("empty", 0o644, b"");
        archive.finish()
    }

    #[test]
    fn header_has_thirteen_fields_and_everything_is_aligned() {
        let bytes = sample();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[110..114], b"dev\0");
        assert_eq!(&bytes[14..22], b"000041ed");
        assert!(bytes.ends_with(b"TRAILER!!!\0\0\0\0"));
    }

    #[test]
    fn what_was_written_is_read_to_the_last_byte() {
        let bytes = sample();
        let (files, between) = read(&bytes).unwrap();
        let found: Vec<(&str, &[u8])> = files.iter().map(|file| (file.path, file.content)).collect();
        assert_eq!(found, [("init", &b"#!hello"[..]), ("empty", b"")]);
        assert_eq!(between.len() + b"#!hello".len(), bytes.len());
        assert!(read(&bytes[..bytes.len() - 4]).is_none());
        assert!(read(&[&bytes[..], b"more"].concat()).is_none());
        for at in 0..bytes.len() {
            let _ = read(&bytes[..at]);
        }
    }

    #[test]
    fn host_cpio_reads_it() {
        let Ok(mut child) = Command::new("cpio")
            .args(["--list", "--verbose", "--numeric-uid-gid"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
        else {
            assert!(std::env::var_os("KEELSON_STRICT").is_none(), "no cpio");
            eprintln!("skipped: cpio is not installed");
            return;
        };
        child.stdin.take().unwrap().write_all(&sample()).unwrap();
        let listing = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let kinds: Vec<&str> = listing.lines().map(|line| &line[..10]).collect();
        assert_eq!(kinds, ["drwxr-xr-x", "crw-------", "-rwxr-xr-x", "-rw-r--r--"]);
    }
}
