//! Tar at the level of headers: ustar, GNU long names, PAX. Yields entries; the caller takes the
//! contents, which this module never sees.

use std::io::{self, Read};

use keelson_erofs::{Time, Xattrs};

use super::pax::{Pax, parse_pax};

/// Bytes of a header and of padding.
pub const BLOCK: u64 = 512;
/// Longest extended header or long name.
const EXTENSION_MAX: u64 = 1 << 20;

/// Why a stream is no layer.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The stream failed, or its compression is broken.
    #[error("cannot read the tar stream")]
    Io(#[source] io::Error),
    /// It ends within an entry.
    #[error("the tar stream ends within an entry")]
    Truncated,
    /// A header's checksum is wrong.
    #[error("a tar header's checksum is wrong")]
    Checksum,
    /// A number of a header is none, or too large.
    #[error("field {field} of a tar header is malformed")]
    Field {
        /// The field.
        field: &'static str,
    },
    /// An extended header is malformed or longer than a mebibyte.
    #[error("a tar extended header is malformed")]
    Extension,
    /// A kind of entry that layers do not have: sparse files, volumes, unknown.
    #[error("tar entry kind {kind:?} is not supported")]
    Kind {
        /// The type flag.
        kind: char,
    },
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; its contents follow.
    File,
    /// One more name of an entry.
    Hardlink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Dir,
    /// A named pipe.
    Fifo,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name as written.
    pub name: Vec<u8>,
    /// Target of a link, as written.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time.
    pub mtime: Time,
    /// Bytes of contents; zero for everything but files.
    pub size: u64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes as written.
    pub xattrs: Xattrs,
}

/// Bytes that fill up contents of this size to a whole block.
#[must_use]
pub const fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

/// Reads the next entry's headers. `None` at the end of the archive; bytes may follow there, which mean
/// nothing. The stream then stands at the entry's contents; the caller takes them and their padding.
///
/// # Errors
/// [`TarError`].
pub fn next_entry(stream: &mut impl Read) -> Result<Option<Entry>, TarError> {
    let mut pax = Pax::default();
    let (mut long_name, mut long_link) = (None, None);
    loop {
        let Some(header) = read_header(stream)? else {
            return Ok(None);
        };
        let size = number(&header, 124, 12, "size")?;
        match header[156] {
            b'x' => pax = parse_pax(&extension(stream, size)?).ok_or(TarError::Extension)?,
            b'g' => drop(extension(stream, size)?),
            b'L' => long_name = Some(until_nul(&extension(stream, size)?).to_vec()),
            b'K' => long_link = Some(until_nul(&extension(stream, size)?).to_vec()),
            _ => return entry(&header, pax, long_name, long_link).map(Some),
        }
    }
}

fn read_header(stream: &mut impl Read) -> Result<Option<[u8; 512]>, TarError> {
    let mut header = [0; 512];
    let mut filled = 0;
    while let Some(rest) = header.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(TarError::Truncated),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(TarError::Io(error)),
        }
    }
    if header.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if checksum_holds(&header) {
        Ok(Some(header))
    } else {
        Err(TarError::Checksum)
    }
}

/// The sum of all bytes with the sum's own field as spaces; old writers summed signed bytes.
fn checksum_holds(header: &[u8; 512]) -> bool {
    let bytes = || {
        header
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte })
    };
    let unsigned: u64 = bytes().map(u64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    number(header, 148, 8, "checksum")
        .is_ok_and(|stated| stated == unsigned || i64::try_from(stated).is_ok_and(|stated| stated == signed))
}

fn extension(stream: &mut impl Read, size: u64) -> Result<Vec<u8>, TarError> {
    if size > EXTENSION_MAX {
        return Err(TarError::Extension);
    }
    let whole = size + padding(size);
    let mut content = Vec::new();
    stream.take(whole).read_to_end(&mut content).map_err(TarError::Io)?;
    if content.len() as u64 != whole {
        return Err(TarError::Truncated);
    }
    content.truncate(usize::try_from(size).unwrap_or(0));
    Ok(content)
}

fn entry(
    header: &[u8; 512],
    pax: Pax,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
) -> Result<Entry, TarError> {
    let name = pax.path.or(long_name).unwrap_or_else(|| header_name(header));
    let kind = kind(header[156], &name)?;
    if pax.sparse {
        return Err(TarError::Kind { kind: 'S' });
    }
    let size = match pax.size {
        Some(size) => size,
        None => number(header, 124, 12, "size")?,
    };
    let id = |stated: Option<u64>, at, field| {
        let value = stated.map_or_else(|| number(header, at, 8, field), Ok)?;
        u32::try_from(value).map_err(|_| TarError::Field { field })
    };
    Ok(Entry {
        link: pax
            .link
            .or(long_link)
            .unwrap_or_else(|| until_nul(&header[157..257]).to_vec()),
        mode: u16::try_from(number(header, 100, 8, "mode")? & 0o7777).unwrap_or(0),
        uid: id(pax.uid, 108, "uid")?,
        gid: id(pax.gid, 116, "gid")?,
        mtime: pax.mtime.map_or_else(|| header_time(header), Ok)?,
        size: if kind == Kind::File { size } else { 0 },
        device: device(header, kind)?,
        xattrs: pax.xattrs,
        name,
        kind,
    })
}

fn kind(flag: u8, name: &[u8]) -> Result<Kind, TarError> {
    Ok(match flag {
        // Before ustar a directory was a file whose name ends in a slash.
        0 | b'0' if name.ends_with(b"/") => Kind::Dir,
        0 | b'0' | b'7' => Kind::File,
        b'1' => Kind::Hardlink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Dir,
        b'6' => Kind::Fifo,
        other => {
            return Err(TarError::Kind {
                kind: char::from(other),
            });
        }
    })
}

fn device(header: &[u8; 512], kind: Kind) -> Result<(u32, u32), TarError> {
    if !matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
        return Ok((0, 0));
    }
    let part = |at, field, max| {
        let value = number(header, at, 8, field)?;
        u32::try_from(value)
            .ok()
            .filter(|value| *value <= max)
            .ok_or(TarError::Field { field })
    };
    Ok((part(329, "device major", 0xfff)?, part(337, "device minor", 0xf_ffff)?))
}

/// The name, with the prefix that POSIX headers have and GNU's do not.
fn header_name(header: &[u8; 512]) -> Vec<u8> {
    let name = until_nul(&header[..100]);
    let prefix = until_nul(&header[345..500]);
    if &header[257..263] == b"ustar\0" && !prefix.is_empty() {
        [prefix, b"/", name].concat()
    } else {
        name.to_vec()
    }
}

fn header_time(header: &[u8; 512]) -> Result<Time, TarError> {
    let field = &header[136..148];
    let seconds = if field[0] == 0xff {
        // Base 256, negative: the low eight bytes in two's complement.
        i64::from_be_bytes(field[4..12].try_into().unwrap_or_default())
    } else {
        i64::try_from(number(header, 136, 12, "mtime")?).map_err(|_| TarError::Field { field: "mtime" })?
    };
    Ok(Time {
        seconds,
        nanoseconds: 0,
    })
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number of a header: octal digits, or base 256 when the first bit is set.
fn number(header: &[u8; 512], at: usize, length: usize, field: &'static str) -> Result<u64, TarError> {
    let bytes = header.get(at..at + length).unwrap_or_default();
    let malformed = || TarError::Field { field };
    if let Some((first @ 0x80..=0xbf, rest)) = bytes.split_first() {
        return rest
            .iter()
            .try_fold(u64::from(first & 0x3f), |sum, byte| {
                sum.checked_mul(256).and_then(|sum| sum.checked_add(u64::from(*byte)))
            })
            .ok_or_else(malformed);
    }
    let digits = until_nul(bytes).trim_ascii();
    digits.iter().try_fold(0_u64, |sum, digit| match digit {
        b'0'..=b'7' => Ok(sum * 8 + u64::from(digit - b'0')),
        _ => Err(malformed()),
    })
}

#[cfg(test)]
#[path = "tar_test.rs"]
mod tests;
