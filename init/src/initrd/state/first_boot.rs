//! First boot: the copy of an image becomes a machine. The partition table gets new identities and reaches to the end
//! of the disk, the file systems get identities of their own, the state grows.
//!
//! Every step can be cut and done again: what marks first boot as done is the layout file, written last of all
//! (`tree::complete`). Running it twice gives a second set of identities, which nobody has seen before.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use keelson_image_layout::Part;
use keelson_sys::{block, ext4};
use rustix::fs::{ext4_ioc_resize_fs, statvfs};
use rustix::rand::{GetRandomFlags, getrandom};
use uuid::Uuid;

use crate::initrd::disk::{Candidate, Nodes};
use crate::initrd::gpt::renew::{self, Write};

/// FAT32: where the boot sector says its copy is, where the volume id is, and what marks a boot sector.
const BACKUP_SECTOR_AT: usize = 50;
const VOLUME_ID_AT: usize = 67;
const SECTOR: usize = 512;

/// Makes this disk's own identities and lets the state, mounted at `state`, fill the disk.
///
/// # Errors
/// The step that failed; the ones before it are done.
pub fn run(nodes: &Nodes, disk: &Candidate, state: &Path) -> Result<()> {
    let length = renew_table(nodes, disk).context("write the partition table")?;
    grow(state, length).context("grow the state file system")?;
    let directory = File::open(state).context("open the state")?;
    ext4::set_uuid(&directory, random_uuid()?.into_bytes()).context("give the state file system an identity")?;
    renew_volume_id(nodes.part(Part::Esp)).context("give the EFI system partition an identity")
}

/// Writes the new table and tells the kernel the new length of the state partition, in bytes.
fn renew_table(nodes: &Nodes, disk: &Candidate) -> Result<u64> {
    // `search` restores it before anything else; the backup alone must not be written.
    ensure!(!disk.table.is_backup(), "the primary table of {} is damaged", disk.name);
    let mut failed = None;
    let ids = || {
        random_uuid().unwrap_or_else(|error| {
            failed = Some(error);
            Uuid::nil()
        })
    };
    let renewed = renew::renew(&disk.table, disk.sectors, ids);
    if let Some(error) = failed {
        return Err(error);
    }
    let renewed = renewed.ok_or_else(|| anyhow!("{} is smaller than its partition table", disk.name))?;
    let whole = File::options().read(true).write(true).open(nodes.whole())?;
    write_flushed(&whole, &renewed.backup)?;
    write_flushed(&whole, &renewed.primary)?;
    let (start, length) = renewed.state;
    block::resize_partition(&whole, Part::State.number(), start, length)?;
    Ok(length)
}

fn write_flushed(file: &File, writes: &[Write]) -> Result<()> {
    writes
        .iter()
        .try_for_each(|write| file.write_all_at(&write.bytes, write.at))?;
    Ok(file.sync_all()?)
}

/// The kernel grows a mounted file system itself, under its journal.
fn grow(state: &Path, length: u64) -> Result<()> {
    let directory = File::open(state)?;
    let block = statvfs(state)?.f_bsize.max(1);
    Ok(ext4_ioc_resize_fs(&directory, length / block)?)
}

/// The copy first, then the boot sector: a cut between leaves a volume with one id and a copy with another, which
/// nobody reads until the boot sector is lost.
fn renew_volume_id(esp: &Path) -> Result<()> {
    let file = File::options().read(true).write(true).open(esp)?;
    let mut sector = [0; SECTOR];
    file.read_exact_at(&mut sector, 0)?;
    let mut id = [0; 4];
    fill_random(&mut id)?;
    let (copy_at, changed) = with_volume_id(sector, id).ok_or_else(|| anyhow!("no FAT32 boot sector"))?;
    if copy_at != 0 {
        file.write_all_at(&changed, copy_at)?;
        file.sync_all()?;
    }
    file.write_all_at(&changed, 0)?;
    Ok(file.sync_all()?)
}

/// The boot sector with another volume id, and the byte offset of its copy (0 if it has none).
fn with_volume_id(mut sector: [u8; SECTOR], id: [u8; 4]) -> Option<(u64, [u8; SECTOR])> {
    let fat32 = sector.get(82..90)? == b"FAT32   " && sector.get(510..512)? == [0x55, 0xaa];
    let copy = u16::from_le_bytes(sector.get(BACKUP_SECTOR_AT..BACKUP_SECTOR_AT + 2)?.try_into().ok()?);
    sector.get_mut(VOLUME_ID_AT..VOLUME_ID_AT + 4)?.copy_from_slice(&id);
    let copy_at = if copy == u16::MAX {
        0
    } else {
        u64::from(copy) * SECTOR as u64
    };
    fat32.then_some((copy_at, sector))
}

/// Random bytes that no other machine has: waits until the kernel's generator is seeded.
pub(super) fn fill_random(bytes: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += getrandom(rest, GetRandomFlags::empty()).context("get random bytes")?;
    }
    Ok(())
}

/// A random identity.
pub(super) fn random_uuid() -> Result<Uuid> {
    let mut bytes = [0; 16];
    fill_random(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot_sector() -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        sector[82..90].copy_from_slice(b"FAT32   ");
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector[BACKUP_SECTOR_AT] = 6;
        sector
    }

    #[test]
    fn the_volume_id_changes_in_both_boot_sectors() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        file.as_file().write_all_at(&boot_sector(), 0).unwrap();
        renew_volume_id(file.path()).unwrap();
        let mut found = [[0; SECTOR]; 2];
        file.as_file().read_exact_at(&mut found[0], 0).unwrap();
        file.as_file().read_exact_at(&mut found[1], 6 * 512).unwrap();
        assert_eq!(found[0], found[1]);
        assert_ne!(found[0], boot_sector());
    }

    #[test]
    fn what_is_no_fat32_is_left_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        assert!(renew_volume_id(file.path()).is_err());
        assert_eq!(std::fs::read(file.path()).unwrap(), vec![0; 1 << 20]);
    }

    #[test]
    fn a_sector_without_a_copy_is_written_alone() {
        for none in [0, u16::MAX] {
            let mut sector = boot_sector();
            sector[BACKUP_SECTOR_AT..BACKUP_SECTOR_AT + 2].copy_from_slice(&none.to_le_bytes());
            assert_eq!(with_volume_id(sector, [1; 4]).unwrap().0, 0);
        }
    }
}
