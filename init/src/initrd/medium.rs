//! An installation medium: a release once, in slot A, without a state partition. The system runs from it as from a disk, with its
//! state in memory, and never writes to it.
//!
//! In an optical drive the kernel shows no partitions (its sectors have 2048 bytes, the table counts in 512), so
//! device-mapper makes them.

use std::io;
use std::path::{Path, PathBuf};

use keelson_image_layout::Part;
use keelson_sys::dm::{Control, Target};

use super::disk::{Candidate, Nodes};
use super::gpt::SECTOR;

/// The nodes of a medium's partitions.
///
/// # Errors
/// A partition is not there (yet), or cannot be mapped.
pub fn nodes(disk: &Candidate, sys: &Path, dev: &Path) -> io::Result<Nodes> {
    if !disk.is_disc() {
        return Nodes::find(sys, dev, &disk.name, &Part::ON_MEDIUM);
    }
    let whole = dev.join(&disk.name);
    let parts = Part::ON_MEDIUM
        .iter()
        .map(|part| Ok((part.number(), map(disk, &whole, *part)?)));
    Ok(Nodes::made(whole.clone(), parts.collect::<io::Result<Vec<_>>>()?))
}

/// Maps a partition of the disc; its node.
fn map(disk: &Candidate, whole: &Path, part: Part) -> io::Result<PathBuf> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no partition {}", part.label()));
    let entry = disk.table.partition(part.number()).ok_or_else(missing)?;
    let status = rustix::fs::stat(whole)?;
    let (major, minor) = (rustix::fs::major(status.st_rdev), rustix::fs::minor(status.st_rdev));
    let (sectors, first) = (entry.bytes() / SECTOR, entry.first);
    let name = format!("keelson-medium-{}", part.label());
    let made = || {
        let control = Control::open()?;
        let device = control.create(&name)?;
        let params = format!("{major}:{minor} {first}");
        let kind = "linear";
        control.load(
            &name,
            Target {
                sectors,
                kind,
                params: &params,
            },
        )?;
        control.activate(&name)?;
        Ok(device)
    };
    let device = made().map_err(|error: keelson_sys::dm::DmError| io::Error::other(crate::chain(&error)))?;
    Ok(PathBuf::from(format!("/dev/dm-{}", rustix::fs::minor(device))))
}
