//! Unpacking of binary packages: an `ar` archive with a compressed tar inside. Scripts of the package are not even
//! looked at. Files keep their modification time, which release times are derived from.
//!
//! Source: deb(5).

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lzma_rust2::XzReader;
use object::read::archive::ArchiveFile;
use thiserror::Error;

/// Why a package could not be unpacked.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// The package file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The package.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It is no `ar` archive.
    #[error("{path} is not a Debian package")]
    Format {
        /// The package.
        path: PathBuf,
        /// What the reader said.
        #[source]
        source: object::read::Error,
    },
    /// A part is missing or compressed in a way we do not read.
    #[error("{path} has no {member}.tar, .tar.xz or .tar.zst")]
    Member {
        /// The package.
        path: PathBuf,
        /// `data` or `control`.
        member: &'static str,
    },
    /// The tar inside is damaged, or cannot be written out.
    #[error("cannot unpack {path}")]
    Extract {
        /// The package.
        path: PathBuf,
        /// What the decoder or the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Unpacks a package's files into `target`. Paths that would leave it are refused by the tar reader.
///
/// # Errors
/// See [`UnpackError`].
pub fn unpack(package: &Path, target: &Path) -> Result<(), UnpackError> {
    with_member(package, "data", |tar| {
        tar.set_overwrite(true);
        tar.set_preserve_permissions(true);
        tar.set_preserve_ownerships(false);
        tar.unpack(target)
    })
}

/// One field of a record in control format; folded lines are not joined.
#[must_use]
pub fn control_field<'a>(record: &'a str, name: &str) -> Option<&'a str> {
    record
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

fn with_member(
    package: &Path,
    member: &'static str,
    read: impl FnOnce(&mut tar::Archive<Box<dyn Read + '_>>) -> io::Result<()>,
) -> Result<(), UnpackError> {
    let path = || package.to_owned();
    let bytes = std::fs::read(package).map_err(|source| UnpackError::Read { path: path(), source })?;
    let format = |source| UnpackError::Format { path: path(), source };
    let archive = ArchiveFile::parse(bytes.as_slice()).map_err(format)?;
    for found in archive.members() {
        let found = found.map_err(format)?;
        let Some(suffix) = found.name().strip_prefix(member.as_bytes()) else {
            continue;
        };
        let data = found.data(bytes.as_slice()).map_err(format)?;
        let extract = |source| UnpackError::Extract { path: path(), source };
        let decoder: Box<dyn Read> = match suffix {
            b".tar" => Box::new(data),
            b".tar.xz" => Box::new(XzReader::new(data, true)),
            b".tar.zst" => Box::new(zstd::Decoder::new(data).map_err(extract)?),
            _ => continue,
        };
        return read(&mut tar::Archive::new(decoder)).map_err(extract);
    }
    Err(UnpackError::Member { path: path(), member })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, data.len()).into_bytes();
        bytes.extend(data);
        if bytes.len() % 2 == 1 {
            bytes.push(b'\n');
        }
        bytes
    }

    fn package(data_name: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"!<arch>\n".to_vec();
        bytes.extend(member("debian-binary", b"2.0\n"));
        bytes.extend(member("control.tar", b""));
        bytes.extend(member(data_name, data));
        bytes
    }

    fn tarball() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, "./usr/file", &b"hello"[..]).unwrap();
        tar.into_inner().unwrap()
    }

    #[test]
    fn files_come_out_of_plain_and_compressed_packages() {
        let place = tempfile::tempdir().unwrap();
        let deb = place.path().join("x.deb");
        for (name, data) in [
            ("data.tar", tarball()),
            ("data.tar.zst", zstd::encode_all(tarball().as_slice(), 1).unwrap()),
        ] {
            std::fs::write(&deb, package(name, &data)).unwrap();
            let target = place.path().join(name);
            std::fs::create_dir(&target).unwrap();
            unpack(&deb, &target).unwrap();
            assert_eq!(std::fs::read(target.join("usr/file")).unwrap(), b"hello", "{name}");
        }
    }

    #[test]
    fn damage_is_an_error_that_names_the_package() {
        let place = tempfile::tempdir().unwrap();
        let deb = place.path().join("x.deb");
        for bytes in [
            b"nothing".to_vec(),
            package("data.tar.lzo", b""),
            package("data.tar.xz", b"broken"),
        ] {
            std::fs::write(&deb, bytes).unwrap();
            let error = unpack(&deb, place.path()).unwrap_err();
            assert!(error.to_string().contains("x.deb"), "{error}");
        }
    }

    #[test]
    fn control_fields_are_found_by_name() {
        let record = "Package: a\nVersion: 1-2\nDescription: x\n Version: no\n";
        assert_eq!(control_field(record, "Version"), Some("1-2"));
        assert_eq!(control_field(record, "SHA256"), None);
    }
}
