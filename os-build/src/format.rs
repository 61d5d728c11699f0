//! Forms in which a disk image is handed to others: compressed, or as a virtual disk of a hypervisor.
//!
//! `qemu-img` converts; what came out is converted back and compared before anybody gets it. Raw, compressed and
//! qcow2 images are the same bytes for the same disk; vmdk and vhd carry identities and times that `qemu-img` makes up.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use thiserror::Error;

use crate::disk::region::copy_holes;

/// Strength of compression: the image is made once and fetched often.
const LEVEL: i32 = 12;

/// A form of a disk image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Sparse file, byte for byte the disk.
    #[default]
    Raw,
    /// The same as one zstd frame.
    RawZst,
    /// QEMU's own, compressed inside.
    Qcow2,
    /// VMware's, stream optimised.
    Vmdk,
    /// Virtual PC's dynamic disk, as Azure's importers and Hyper-V read it.
    Vhd,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 5] = [Format::Raw, Format::RawZst, Format::Qcow2, Format::Vmdk, Format::Vhd];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::RawZst => "raw.zst",
            Format::Qcow2 => "qcow2",
            Format::Vmdk => "vmdk",
            Format::Vhd => "vhd",
        }
    }

    /// Whether the same disk always gives the same file.
    #[must_use]
    pub const fn is_reproducible(self) -> bool {
        matches!(self, Format::Raw | Format::RawZst | Format::Qcow2)
    }

    /// What `qemu-img` calls it, and how it is to be made; nothing for what is made without it.
    const fn of_qemu_img(self) -> Option<(&'static str, &'static [&'static str])> {
        match self {
            Format::Raw | Format::RawZst => None,
            Format::Qcow2 => Some(("qcow2", &["-c", "-o", "compat=1.1,lazy_refcounts=off"])),
            Format::Vmdk => Some(("vmdk", &["-o", "subformat=streamOptimized"])),
            // Without it the size is rounded up to one of the geometries of 1998.
            Format::Vhd => Some(("vpc", &["-o", "subformat=dynamic,force_size=on"])),
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        Format::ALL
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| {
                let names = Format::ALL.map(Format::name).join(", ");
                format!("{text:?} is no format: {names}")
            })
    }
}

/// Why an image could not be converted.
#[derive(Debug, Error)]
pub enum FormatError {
    /// A file cannot be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// `qemu-img` is not installed.
    #[error("cannot run qemu-img (package qemu-utils)")]
    Start(#[source] io::Error),
    /// It failed.
    #[error("qemu-img {verb} failed: {message}")]
    Failed {
        /// What it was to do.
        verb: &'static str,
        /// What it said.
        message: String,
    },
}

/// Writes the raw disk `from` as `to`; an older file stays in place until the new one is whole and compared.
///
/// # Errors
/// See [`FormatError`].
pub fn convert(from: &Path, to: &Path, format: Format) -> Result<(), FormatError> {
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    match format.of_qemu_img() {
        None if format == Format::RawZst => compress(from, &part)?,
        None => copy_holes(from, &part, 0).map_err(failed(from))?,
        Some((name, options)) => {
            qemu_img(
                "convert",
                &[&["-f", "raw", "-O", name], options].concat(),
                &[from, &part],
            )?;
            qemu_img("compare", &["-f", "raw", "-F", name], &[from, &part])?;
        }
    }
    File::open(&part)
        .and_then(|file| file.sync_all())
        .map_err(failed(&part))?;
    std::fs::rename(&part, to).map_err(failed(to))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> FormatError + '_ {
    |source| FormatError::File {
        path: path.to_owned(),
        source,
    }
}

/// One frame with its length and a checksum, so that a torn download shows.
fn compress(from: &Path, to: &Path) -> Result<(), FormatError> {
    let source = File::open(from).map_err(failed(from))?;
    let len = source.metadata().map_err(failed(from))?.len();
    let write = || {
        let mut encoder = zstd::Encoder::new(BufWriter::new(File::create(to)?), LEVEL)?;
        encoder.set_pledged_src_size(Some(len))?;
        encoder.include_checksum(true)?;
        encoder.long_distance_matching(true)?;
        io::copy(&mut BufReader::with_capacity(1 << 20, source), &mut encoder)?;
        encoder
            .finish()?
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()
    };
    write().map_err(failed(to))
}

fn qemu_img(verb: &'static str, options: &[&str], files: &[&Path]) -> Result<(), FormatError> {
    let output = Command::new("qemu-img")
        .arg(verb)
        .args(options)
        .args(files)
        .env("LC_ALL", "C")
        .output()
        .map_err(FormatError::Start)?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stderr, output.stdout].concat();
    Err(FormatError::Failed {
        verb,
        message: String::from_utf8_lossy(&said).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn disk(place: &Path) -> PathBuf {
        let path = place.join("disk.raw");
        let file = File::create(&path).unwrap();
        file.set_len(64 << 20).unwrap();
        for (at, byte) in [(0u64, 1u8), (5 << 20, 2), ((64 << 20) - 4096, 3)] {
            file.write_all_at(&[byte; 4096], at).unwrap();
        }
        path
    }

    #[test]
    fn names_read_back() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        assert!("iso9660".parse::<Format>().unwrap_err().contains("raw.zst"));
    }

    #[test]
    fn every_format_holds_the_same_disk_and_keeps_its_holes() {
        use std::os::unix::fs::MetadataExt;
        let place = tempfile::tempdir().unwrap();
        let raw = disk(place.path());
        for format in Format::ALL {
            let made = place.path().join(format!("made.{}", format.name()));
            convert(&raw, &made, format).unwrap();
            assert!(made.metadata().unwrap().blocks() * 512 < 4 << 20, "{format:?}");
            let back = place.path().join("back");
            match format.of_qemu_img() {
                Some((name, _)) => qemu_img("convert", &["-f", name, "-O", "raw"], &[&made, &back]).unwrap(),
                None if format == Format::RawZst => {
                    std::fs::write(&back, zstd::decode_all(File::open(&made).unwrap()).unwrap()).unwrap();
                }
                None => drop(std::fs::copy(&made, &back).unwrap()),
            }
            assert!(
                std::fs::read(&raw).unwrap() == std::fs::read(&back).unwrap(),
                "{format:?}"
            );
        }
    }

    #[test]
    fn what_is_called_reproducible_is() {
        let place = tempfile::tempdir().unwrap();
        let raw = disk(place.path());
        for format in Format::ALL.into_iter().filter(|format| format.is_reproducible()) {
            let made = |name: &str| {
                let path = place.path().join(name);
                convert(&raw, &path, format).unwrap();
                std::fs::read(path).unwrap()
            };
            assert!(made("first") == made("second"), "{format:?}");
        }
    }

    #[test]
    fn a_missing_disk_leaves_the_old_file() {
        let place = tempfile::tempdir().unwrap();
        let old = place.path().join("old");
        std::fs::write(&old, "old").unwrap();
        for format in Format::ALL {
            assert!(convert(&place.path().join("none"), &old, format).is_err());
            assert_eq!(std::fs::read(&old).unwrap(), b"old");
        }
    }
}
