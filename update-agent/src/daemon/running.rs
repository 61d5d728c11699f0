//! The running release as what a patch is applied to: its root through the kernel's check of each block, its boot entry
//! from the EFI system partition, which is mounted as long as this lives and the entry was asked for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use keelson_image_layout::Slot;
use keelson_payload::{Digest, PartName, Window};
use keelson_slot_store::entries::belongs_to;
use keelson_slot_store::{Esp, read_entry};
use sha2::{Digest as _, Sha256};

use crate::transfer::Running;

/// Largest boot entry that is read at once, of the 48 MiB that the agent may take.
const ENTRY_MOST: usize = 32 << 20;

/// The running release.
#[derive(Debug)]
pub struct RunningRelease {
    root: File,
    esp: PathBuf,
    slot: Slot,
    entry: OnceLock<(File, Esp)>,
}

impl RunningRelease {
    /// That of `slot`, whose root is mapped at `root`.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(root: &Path, esp: &Path, slot: Slot) -> io::Result<RunningRelease> {
        Ok(RunningRelease {
            root: File::open(root)?,
            esp: esp.to_owned(),
            slot,
            entry: OnceLock::new(),
        })
    }

    fn entry(&self) -> io::Result<&File> {
        if let Some((file, _)) = self.entry.get() {
            return Ok(file);
        }
        let opened = open_entry(&self.esp, self.slot)?;
        Ok(&self.entry.get_or_init(|| opened).0)
    }
}

impl Running for RunningRelease {
    fn read(&self, part: PartName, window: Window) -> io::Result<Vec<u8>> {
        let file = match part {
            PartName::Root => &self.root,
            PartName::Boot => self.entry()?,
            PartName::Loader => return Err(io::ErrorKind::Unsupported.into()),
        };
        // The index bounds it.
        let mut bytes = vec![0; window.length as usize];
        file.read_exact_at(&mut bytes, window.start)?;
        Ok(bytes)
    }
}

/// The digest of the running boot entry, without mounting anything: every look for updates asks for it.
///
/// # Errors
/// It cannot be read.
pub fn entry_digest(esp: &Path, slot: Slot) -> io::Result<Digest> {
    let entry = read_entry(esp, slot, ENTRY_MOST)?.ok_or_else(|| no_entry(slot))?;
    Ok(Digest(Sha256::digest(&entry).into()))
}

fn no_entry(slot: Slot) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("slot {slot} has no boot entry"))
}

/// The file comes first, so that it is closed before the mount goes.
fn open_entry(esp: &Path, slot: Slot) -> io::Result<(File, Esp)> {
    let esp = Esp::open(esp).map_err(io::Error::other)?;
    let names = esp.names().map_err(io::Error::other)?;
    let name = names.iter().find(|name| belongs_to(name, slot));
    let name = name.ok_or_else(|| no_entry(slot))?;
    let file = esp.read(name).map_err(io::Error::other)?;
    Ok((file, esp))
}
