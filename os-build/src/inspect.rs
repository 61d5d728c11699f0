//! What is on a disk, slot by slot. Only reads.

use std::fmt;
use std::fs::File;

use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use keelson_image_layout::slot_state::{COPY_BYTES, COPY_OFFSETS};
use keelson_image_layout::verity::BLOCK;
use keelson_image_layout::{EntryName, Part, RootHash, Slot, SlotRecord, SlotState};

use crate::digest::{hex, sha256};
use crate::disk::esp::{self, Entry, Held};
use crate::disk::region::{ReadOnly, Region};
use crate::disk::table::{self, Found};
use crate::progress::mib;
use crate::secure_boot::authenticode::{self, Signature};
use crate::uki;

/// A disk's report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Partition table.
    pub partitions: Vec<Found>,
    /// The slot-state record in force and which copy is written next; `None` if neither copy is one.
    pub slot_state: Option<(SlotState, usize)>,
    /// Both slots.
    pub slots: [SlotReport; 2],
    /// Who signed the boot loader; `None` if there is none that could be signed.
    pub loader: Option<Vec<Signature>>,
    /// Names in `EFI/Linux` that belong to no slot.
    pub strangers: Vec<String>,
}

/// What is known of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotReport {
    /// Which slot.
    pub slot: Slot,
    /// Its boot entries: name, bytes, SHA-256, version.
    pub entries: Vec<EntryReport>,
    /// Size of the root file system by its superblock.
    pub root_bytes: Option<u64>,
    /// What the slot-state record says of it.
    pub record: Option<SlotRecord>,
}

/// A boot entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryReport {
    /// File name.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// `IMAGE_VERSION` of its os-release.
    pub version: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Who signed it; `None` if it cannot be signed.
    pub signatures: Option<Vec<Signature>>,
}

/// Reads a disk.
///
/// # Errors
/// The file cannot be read or has no partition table of ours.
pub fn inspect(path: &Path) -> Result<Report> {
    let disk = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let partitions = table::read(&disk).with_context(|| path.display().to_string())?;
    let place = |part: Part| {
        let found = partitions.iter().find(|found| found.name == part.label());
        found.with_context(|| format!("{} has no partition {:?}", path.display(), part.label()))
    };
    let slot_state = read_slot_state(&disk, place(Part::SlotState)?)?;
    let files = read_esp(&disk, place(Part::Esp)?)?;
    let loader = files.iter().find(|file| file.path == esp::LOADER);
    let loader = loader.and_then(|file| authenticode::signatures(&file.bytes).ok());
    let entries = esp::entries(files);
    let mut slots = Vec::new();
    for slot in Slot::ALL {
        slots.push(SlotReport {
            slot,
            entries: entries
                .iter()
                .filter(|entry| slot_of(&entry.name) == Some(slot))
                .map(report_entry)
                .collect(),
            root_bytes: root_bytes(&disk, place(slot.root())?),
            record: slot_state.as_ref().map(|(state, _)| state.slot(slot).clone()),
        });
    }
    let strangers = entries
        .iter()
        .filter(|entry| slot_of(&entry.name).is_none())
        .map(|entry| entry.name.clone())
        .collect();
    let slots = slots.try_into().map_err(|_| anyhow::anyhow!("a disk has two slots"))?;
    Ok(Report {
        partitions,
        slot_state,
        slots,
        loader,
        strangers,
    })
}

/// The boot entries of a disk, or the file itself if it is one.
///
/// # Errors
/// The file cannot be read, or is neither.
pub fn entries(path: &Path) -> Result<Vec<Entry>> {
    let disk = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut begin = [0; 2];
    if disk.read_exact_at(&mut begin, 0).is_ok() && &begin == b"MZ" {
        let name = path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned();
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        return Ok(vec![Entry { name, bytes }]);
    }
    let partitions = table::read(&disk).with_context(|| path.display().to_string())?;
    let part = partitions.iter().find(|found| found.name == Part::Esp.label());
    let part = part.with_context(|| format!("{} has no ESP", path.display()))?;
    Ok(esp::entries(read_esp(&disk, part)?))
}

fn read_slot_state(disk: &File, part: &Found) -> Result<Option<(SlotState, usize)>> {
    let mut copies = [[0; COPY_BYTES]; 2];
    for (copy, offset) in copies.iter_mut().zip(COPY_OFFSETS) {
        disk.read_exact_at(copy, part.start + offset)
            .context("slot-state partition")?;
    }
    let [first, second] = &copies;
    Ok(SlotState::newest(first, second).map(|current| (current.state, current.next_copy)))
}

fn read_esp(disk: &File, part: &Found) -> Result<Vec<Held>> {
    Ok(esp::read(ReadOnly(Region::new(disk, part.start, part.len)))?.files)
}

fn slot_of(name: &str) -> Option<Slot> {
    EntryName::parse(name).ok().map(|entry| entry.slot)
}

fn report_entry(entry: &Entry) -> EntryReport {
    let text = |section| uki::section(&entry.bytes, section).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    EntryReport {
        name: entry.name.clone(),
        bytes: entry.bytes.len() as u64,
        sha256: hex(&sha256(&entry.bytes)),
        version: text(".osrel").and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("IMAGE_VERSION=").map(str::to_owned))
        }),
        kernel: text(".uname"),
        signatures: authenticode::signatures(&entry.bytes).ok(),
    }
}

fn root_bytes(disk: &File, part: &Found) -> Option<u64> {
    let window = keelson_erofs::Window::new(disk.try_clone().ok()?, part.start, part.len);
    let reader = keelson_erofs::Reader::open(window).ok()?;
    Some(u64::from(reader.superblock().blocks) * BLOCK as u64)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "partitions")?;
        for part in &self.partitions {
            writeln!(
                f,
                "  {} {:<11} {:>12} at {:>5} MiB  {}",
                part.number,
                part.name,
                mib(part.len),
                part.start >> 20,
                part.id
            )?;
        }
        match &self.slot_state {
            Some((state, next)) => writeln!(f, "slot state  sequence {}, copy {next} is written next", state.seq)?,
            None => writeln!(f, "slot state  neither copy can be read")?,
        }
        writeln!(f, "loader      signed by {}", Signers(self.loader.as_deref()))?;
        self.slots.iter().try_for_each(|slot| slot.fmt(f))?;
        self.strangers
            .iter()
            .try_for_each(|name| writeln!(f, "not ours in {}: {name}", esp::ENTRIES))
    }
}

impl fmt::Display for SlotReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "slot {}", self.slot)?;
        if let Some(record) = &self.record {
            writeln!(f, "  version     {}", record.version_text())?;
            writeln!(
                f,
                "  state       {}, {} tries left, last failure: {}",
                lower(record.state),
                record.tries,
                lower(record.reason)
            )?;
            writeln!(f, "  root hash   {}", RootHash(record.root_hash))?;
        }
        match self.root_bytes {
            Some(bytes) => writeln!(f, "  root        {}", mib(bytes))?,
            None => writeln!(f, "  root        no file system")?,
        }
        for entry in &self.entries {
            let (version, kernel) = (
                entry.version.as_deref().unwrap_or("?"),
                entry.kernel.as_deref().unwrap_or("?"),
            );
            let recorded = self
                .record
                .as_ref()
                .is_some_and(|record| hex(&record.uki_sha256) == entry.sha256);
            let note = if recorded {
                "as recorded"
            } else {
                "not the one recorded"
            };
            writeln!(
                f,
                "  entry       {} {}, {version}, kernel {kernel}, {note}",
                entry.name,
                mib(entry.bytes)
            )?;
            writeln!(f, "              signed by {}", Signers(entry.signatures.as_deref()))?;
        }
        if self.entries.is_empty() {
            writeln!(f, "  entry       none")?;
        }
        Ok(())
    }
}

/// Who signed a file, for people.
struct Signers<'a>(Option<&'a [Signature]>);

impl fmt::Display for Signers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some([first, rest @ ..]) => {
                first.fmt(f)?;
                rest.iter().try_for_each(|signature| write!(f, "; {signature}"))
            }
            Some([]) => f.write_str("nobody"),
            None => f.write_str("nobody: it is no PE file"),
        }
    }
}

fn lower(value: impl fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}
