//! Finding the system disk: the one the boot loader came from. Another disk of ours that happens to be attached is
//! never touched.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use keelson_image_layout::{Part, Slot, facts};

use super::boot_option::pci_path_of_device;
use super::efi::Loader;
use super::gpt::renew::Write;
use super::gpt::{Header, SECTOR, Table, backup_of, mbr, primary_of};

/// Block devices that are no disks of their own.
const NOT_DISKS: [&str; 5] = ["loop", "ram", "zram", "dm-", "fd"];
/// Optical drives, which may hold an installation medium and nothing else of ours.
const OPTICAL: &str = "sr";

/// A whole disk with a table of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name in `/sys/block`.
    pub name: String,
    /// Its partition table.
    pub table: Table,
    /// Length of the disk in sectors.
    pub sectors: u64,
    /// Device and function of the PCI devices above it.
    pub pci_path: Vec<(u8, u8)>,
}

impl Candidate {
    /// Whether it lies in an optical drive.
    #[must_use]
    pub fn is_disc(&self) -> bool {
        self.name.starts_with(OPTICAL)
    }

    /// Whether it is an installation medium, on which nothing is ever written.
    #[must_use]
    pub fn is_medium(&self) -> bool {
        self.table.is_medium()
    }
}

/// How sure the choice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice<'a> {
    /// This disk.
    Found(&'a Candidate),
    /// Not there yet, or not there at all.
    Absent,
    /// The loader left no trace of its partition: decide by the root hash.
    Unknown,
}

/// The disk the loader came from. Copies of one image have the same identities until they have booted; then the
/// controller the firmware used decides, and the first in the kernel's order if that says nothing.
#[must_use]
pub fn choose<'a>(candidates: &'a [Candidate], loader: &Loader) -> Choice<'a> {
    let Some(partition) = loader.partition else {
        return Choice::Unknown;
    };
    let same: Vec<&Candidate> = candidates
        .iter()
        .filter(|disk| {
            disk.table
                .partition(Part::Esp.number())
                .is_some_and(|esp| esp.id == partition)
        })
        .collect();
    let at_controller = same
        .iter()
        .find(|disk| Some(&disk.pci_path) == loader.pci_path.as_ref());
    at_controller
        .or(same.first())
        .map_or(Choice::Absent, |disk| Choice::Found(disk))
}

/// All disks with a table of ours, in the kernel's order.
#[must_use]
pub fn candidates(sys: &Path, dev: &Path) -> Vec<Candidate> {
    let entries = fs::read_dir(sys.join("block")).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    names.retain(|name| !NOT_DISKS.iter().any(|prefix| name.starts_with(prefix)));
    names.into_iter().filter_map(|name| candidate(sys, dev, name)).collect()
}

fn candidate(sys: &Path, dev: &Path, name: String) -> Option<Candidate> {
    let file = File::open(dev.join(&name)).ok()?;
    let sectors = fs::read_to_string(sys.join("block").join(&name).join("size"))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let table = read_table(&file, sectors)?;
    let ours = table.is_medium() || table.is_keelson() && !name.starts_with(OPTICAL);
    if !ours {
        return None;
    }
    let device = fs::canonicalize(sys.join("block").join(&name)).unwrap_or_default();
    Some(Candidate {
        pci_path: pci_path_of_device(&device),
        name,
        table,
        sectors,
    })
}

/// Makes a damaged primary table again from the backup, flushed and read back. A disk whose primary is sound is not
/// written. Whether it was.
///
/// # Errors
/// The kernel's answer, or that the backup cannot be used; the backup itself is never touched.
pub fn restore_primary(disk: &File, sectors: u64) -> io::Result<bool> {
    let unusable = || io::Error::new(io::ErrorKind::InvalidData, "the backup table cannot be used");
    let table = read_table(disk, sectors).ok_or_else(unusable)?;
    if !table.is_backup() {
        return Ok(false);
    }
    for write in primary_of(&table).ok_or_else(unusable)? {
        disk.write_all_at(&write.bytes, write.at)?;
    }
    disk.sync_all()?;
    read_table_at(disk, 1).map(|_| true).ok_or_else(unusable)
}

/// Writes that make whole what is damaged beside a sound primary table: the protective record, the backup. Nothing for
/// a sound disk.
#[must_use]
pub fn plan_mending(disk: &File, sectors: u64) -> Vec<(&'static str, Vec<Write>)> {
    let Some(primary) = read_table_at(disk, 1) else {
        return Vec::new();
    };
    let mut plan = Vec::new();
    let mut sector = [0; SECTOR as usize];
    if disk.read_exact_at(&mut sector, 0).is_ok() && !mbr::is_protective(&sector) {
        let bytes = mbr::protective(sectors);
        plan.push(("protective boot record", vec![Write { at: 0, bytes }]));
    }
    let sound = read_table_at(disk, primary.header.other).is_some_and(|backup| backup.same_entries(&primary));
    if !sound && primary.header.other < sectors {
        plan.extend(backup_of(&primary).map(|writes| ("backup of the partition table", writes)));
    }
    plan
}

/// Carries out a plan of [`plan_mending`], flushed. The primary is not written, so a cut at any moment leaves it whole.
///
/// # Errors
/// The kernel's answer.
pub fn mend(disk: &File, plan: &[(&'static str, Vec<Write>)]) -> io::Result<()> {
    let mut writes = plan.iter().flat_map(|(_, writes)| writes);
    writes.try_for_each(|write| disk.write_all_at(&write.bytes, write.at))?;
    disk.sync_all()
}

/// The primary table, or if that is damaged the backup: in the last sector, or where an image ends that was copied to a
/// larger disk and has not booted yet.
fn read_table(disk: &File, sectors: u64) -> Option<Table> {
    let last = sectors.checked_sub(1)?;
    let of_image = keelson_image_layout::partitions::IMAGE_BYTES / SECTOR - 1;
    [1, last, of_image].into_iter().find_map(|at| read_table_at(disk, at))
}

fn read_table_at(disk: &File, at: u64) -> Option<Table> {
    let mut sector = [0; SECTOR as usize];
    disk.read_exact_at(&mut sector, at.checked_mul(SECTOR)?).ok()?;
    let header = Header::parse(&sector, at).ok()?;
    let mut entries = vec![0; usize::try_from(header.array_bytes()).ok()?];
    disk.read_exact_at(&mut entries, header.entries_at.checked_mul(SECTOR)?)
        .ok()?;
    Table::new(header, entries).ok()
}

/// The nodes of a disk and its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    whole: PathBuf,
    parts: Vec<(u32, PathBuf)>,
}

impl Nodes {
    /// Nodes that were made for a disk whose partitions the kernel does not show.
    #[must_use]
    pub const fn made(whole: PathBuf, parts: Vec<(u32, PathBuf)>) -> Nodes {
        Nodes { whole, parts }
    }

    /// Looks up the kernel's names of these partitions by their number.
    ///
    /// # Errors
    /// Names the partition the kernel does not know (yet).
    pub fn find(sys: &Path, dev: &Path, disk: &str, wanted: &[Part]) -> io::Result<Nodes> {
        let mut parts = Vec::new();
        for entry in fs::read_dir(sys.join("block").join(disk))? {
            let entry = entry?;
            let number = fs::read_to_string(entry.path().join("partition"));
            if let Some(number) = number.ok().and_then(|text| text.trim().parse().ok()) {
                parts.push((number, dev.join(entry.file_name())));
            }
        }
        let nodes = Nodes {
            whole: dev.join(disk),
            parts,
        };
        let missing = |part: &&Part| nodes.lookup(**part).is_none_or(|node| !node.exists());
        match wanted.iter().find(missing) {
            None => Ok(nodes),
            Some(part) => {
                let what = format!(
                    "partition {} ({}) of {disk} has no device node",
                    part.number(),
                    part.label()
                );
                Err(io::Error::new(io::ErrorKind::NotFound, what))
            }
        }
    }

    fn lookup(&self, part: Part) -> Option<&Path> {
        self.parts
            .iter()
            .find(|(number, _)| *number == part.number())
            .map(|(_, path)| path.as_path())
    }

    /// The whole disk.
    #[must_use]
    pub fn whole(&self) -> &Path {
        &self.whole
    }

    /// One partition.
    #[must_use]
    pub fn part(&self, part: Part) -> &Path {
        // `find` made sure that every partition is there that the disk should have.
        self.lookup(part).unwrap_or(Path::new("/dev/null"))
    }

    /// The nodes later stages need.
    #[must_use]
    pub fn facts(&self) -> facts::Disk {
        let text = |path: &Path| path.display().to_string();
        let has_all = Part::ALL.iter().all(|part| self.lookup(*part).is_some());
        let slot = |slot: Slot| facts::SlotNodes {
            root: text(self.part(slot.root())),
            tree: text(self.part(slot.verity())),
        };
        facts::Disk {
            device: text(&self.whole),
            esp: text(self.part(Part::Esp)),
            slot_state: text(self.part(Part::SlotState)),
            state: text(self.part(Part::State)),
            slots: has_all.then(|| Slot::ALL.map(slot)),
        }
    }
}

#[cfg(test)]
#[path = "disk_test.rs"]
mod tests;
