//! Reads FAT12, FAT16 and FAT32: the label, and files.
//!
//! After Microsoft's FAT specification 1.03. Takes nothing on trust: every offset is computed with checks, every chain
//! of clusters is bounded by the size of what it must hold.

use crate::read::{ReadAt, u16_at, u32_at};
use crate::volume::{VolumeError, bounded};

/// A FAT volume.
#[derive(Debug)]
pub struct Fat<R> {
    device: R,
    shape: Shape,
    boot_label: String,
    serial: u32,
}

/// Where things are, in bytes.
#[derive(Debug, Clone, Copy)]
struct Shape {
    width: Width,
    table: u64,
    /// Root directory of FAT12 and FAT16: offset and length.
    root: (u64, u64),
    /// First cluster of FAT32's root directory.
    root_cluster: u32,
    data: u64,
    cluster_size: u64,
    clusters: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Twelve,
    Sixteen,
    ThirtyTwo,
}

/// The most bytes of a directory that are looked at; 65536 entries are the most FAT allows.
const MAX_DIRECTORY: u64 = 2 << 20;
const ENTRY: usize = 32;
const LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const LONG_NAME: u8 = 0x0f;

struct Entry {
    name: String,
    attributes: u8,
    cluster: u32,
    size: u32,
}

impl<R: ReadAt> Fat<R> {
    /// Recognises FAT by its boot sector; gives the device back when it is something else.
    ///
    /// # Errors
    /// Never at present; a device too short for a boot sector is something else.
    pub fn open(device: R) -> Result<Result<Self, R>, VolumeError> {
        let Ok(sector) = device.array::<512>(0) else {
            return Ok(Err(device));
        };
        let Some(shape) = Shape::of(&sector) else {
            return Ok(Err(device));
        };
        let at = if shape.width == Width::ThirtyTwo { 66 } else { 38 };
        let extended = sector.get(at) == Some(&0x29);
        let serial = if extended { u32_at(&sector, at + 1) } else { 0 };
        let label = sector.get(at + 5..at + 16).filter(|_| extended).unwrap_or_default();
        let boot_label = String::from_utf8_lossy(label).trim_end().to_owned();
        Ok(Ok(Self {
            device,
            shape,
            boot_label,
            serial,
        }))
    }

    /// The label in the root directory, else the boot sector's.
    ///
    /// # Errors
    /// The root directory cannot be read.
    pub fn label(&self) -> Result<String, VolumeError> {
        let entries = self.root()?;
        let label = entries
            .into_iter()
            .find(|e| e.attributes & (LABEL | DIRECTORY) == LABEL);
        Ok(label.map_or_else(|| self.boot_label.clone(), |entry| entry.name))
    }

    /// The serial number as other tools write it.
    pub fn id(&self) -> String {
        format!("{:04X}-{:04X}", self.serial >> 16, self.serial & 0xffff)
    }

    /// See [`crate::Volume::file`].
    ///
    /// # Errors
    /// It is longer than `limit`, or the volume is damaged.
    pub fn file(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, VolumeError> {
        let Some(entry) = self.find(path, 0)? else {
            return Ok(None);
        };
        let size = bounded(path, entry.size.into(), limit)?;
        let mut content = Vec::new();
        if size > 0 {
            self.chain(entry.cluster, size as u64, &mut content)?;
        }
        content.truncate(size);
        if content.len() < size {
            return Err(VolumeError::Damaged("a file is shorter than its entry says"));
        }
        Ok(Some(content))
    }

    /// See [`crate::Volume::names`].
    ///
    /// # Errors
    /// The volume is damaged.
    pub fn names(&self, path: &str) -> Result<Option<Vec<String>>, VolumeError> {
        let Some(folder) = self.find(path, DIRECTORY)? else {
            return Ok(None);
        };
        let entries = self.directory(folder.cluster)?.into_iter();
        let named = entries.filter(|entry| entry.attributes & LABEL == 0 && entry.name != "." && entry.name != "..");
        Ok(Some(named.map(|entry| entry.name).collect()))
    }

    /// The entry of a file or folder (`kind`), folder by folder from the root.
    fn find(&self, path: &str, kind: u8) -> Result<Option<Entry>, VolumeError> {
        let mut entries = self.root()?;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            let wanted = if last { kind } else { DIRECTORY };
            let is_it = |entry: &Entry| {
                entry.attributes & (LABEL | DIRECTORY) == wanted && entry.name.eq_ignore_ascii_case(part)
            };
            match entries.into_iter().find(is_it) {
                Some(entry) if !last => entries = self.directory(entry.cluster)?,
                found => return Ok(found),
            }
        }
        Ok(None)
    }

    fn directory(&self, cluster: u32) -> Result<Vec<Entry>, VolumeError> {
        let mut bytes = Vec::new();
        self.chain(cluster, MAX_DIRECTORY, &mut bytes)?;
        Ok(entries(&bytes))
    }

    fn root(&self) -> Result<Vec<Entry>, VolumeError> {
        if self.shape.width == Width::ThirtyTwo {
            return self.directory(self.shape.root_cluster);
        }
        let (offset, length) = self.shape.root;
        let mut bytes = vec![0; usize::try_from(length.min(MAX_DIRECTORY)).unwrap_or(0)];
        self.device.read_at(offset, &mut bytes)?;
        Ok(entries(&bytes))
    }

    /// Appends clusters from `first` on until the chain ends or `limit` bytes are there.
    fn chain(&self, first: u32, limit: u64, out: &mut Vec<u8>) -> Result<(), VolumeError> {
        let mut cluster = first;
        while (out.len() as u64) < limit {
            let Some(index) = cluster.checked_sub(2).filter(|index| *index < self.shape.clusters) else {
                return Err(VolumeError::Damaged("a chain of clusters leaves the volume"));
            };
            let start = out.len();
            let offset = self.shape.data + u64::from(index) * self.shape.cluster_size;
            let length = self.shape.cluster_size.min(limit - start as u64);
            out.resize(start + usize::try_from(length).unwrap_or(0), 0);
            self.device.read_at(offset, out.get_mut(start..).unwrap_or_default())?;
            match self.next(cluster)? {
                Some(next) => cluster = next,
                None => break,
            }
        }
        Ok(())
    }

    /// The cluster behind this one; `None` at the end of the chain.
    fn next(&self, cluster: u32) -> Result<Option<u32>, VolumeError> {
        let at = u64::from(cluster);
        let table = self.shape.table;
        let (value, end) = match self.shape.width {
            Width::Twelve => {
                let pair = u16::from_le_bytes(self.device.array(table + at + at / 2)?);
                (
                    u32::from(if cluster.is_multiple_of(2) {
                        pair & 0xfff
                    } else {
                        pair >> 4
                    }),
                    0xff8,
                )
            }
            Width::Sixteen => (
                u32::from(u16::from_le_bytes(self.device.array(table + at * 2)?)),
                0xfff8,
            ),
            Width::ThirtyTwo => (
                u32::from_le_bytes(self.device.array(table + at * 4)?) & 0x0fff_ffff,
                0x0fff_fff8,
            ),
        };
        Ok((value < end).then_some(value))
    }
}

impl Shape {
    /// `None` when the sector is not a FAT boot sector.
    fn of(sector: &[u8; 512]) -> Option<Self> {
        let byte = |at: usize| u64::from(sector.get(at).copied().unwrap_or(0));
        let half = |at: usize| u64::from(u16_at(sector, at));
        let sector_size = half(11);
        let per_cluster = byte(13);
        let (reserved, tables, root_entries) = (half(14), byte(16), half(17));
        let jump = matches!(sector.first(), Some(0xeb | 0xe9));
        let sane = jump
            && u16_at(sector, 510) == 0xaa55
            && matches!(sector_size, 512 | 1024 | 2048 | 4096)
            && per_cluster.is_power_of_two()
            && reserved > 0
            && matches!(tables, 1 | 2);
        if !sane {
            return None;
        }
        let or_wide = |narrow: u64, wide: usize| {
            if narrow == 0 {
                u64::from(u32_at(sector, wide))
            } else {
                narrow
            }
        };
        let table_sectors = or_wide(half(22), 36);
        let total = or_wide(half(19), 32);
        let root_sectors = (root_entries * ENTRY as u64).div_ceil(sector_size);
        let root = reserved + tables * table_sectors;
        let data = root + root_sectors;
        let clusters = u32::try_from(total.checked_sub(data)? / per_cluster).ok()?;
        if table_sectors == 0 || clusters == 0 {
            return None;
        }
        // Linux tells FAT32 by the wide field, the specification by the count; they differ on odd volumes only.
        let width = match (half(22), clusters) {
            (0, _) => Width::ThirtyTwo,
            (_, ..4085) => Width::Twelve,
            _ => Width::Sixteen,
        };
        Some(Self {
            width,
            table: reserved * sector_size,
            root: (root * sector_size, root_sectors * sector_size),
            root_cluster: u32_at(sector, 44),
            data: data * sector_size,
            cluster_size: per_cluster * sector_size,
            clusters,
        })
    }
}

/// The entries of a directory, long names joined.
fn entries(bytes: &[u8]) -> Vec<Entry> {
    let mut out = Vec::new();
    let mut long = LongName::default();
    for raw in bytes.as_chunks::<ENTRY>().0 {
        match (raw[0], raw[11] & 0x3f) {
            (0, _) => break,
            (0xe5, _) => long = LongName::default(),
            (_, LONG_NAME) => long.add(raw),
            (_, attributes) => {
                let short = short_name(raw, attributes);
                let name = std::mem::take(&mut long).finish(raw).unwrap_or(short);
                let cluster = u32::from(u16_at(raw, 20)) << 16 | u32::from(u16_at(raw, 26));
                out.push(Entry {
                    name,
                    attributes,
                    cluster,
                    size: u32_at(raw, 28),
                });
            }
        }
    }
    out
}

/// `NAME.EXT`, or the eleven characters of a label.
fn short_name(raw: &[u8; ENTRY], attributes: u8) -> String {
    let text = |range: std::ops::Range<usize>| {
        let bytes = raw.get(range).unwrap_or_default();
        String::from_utf8_lossy(bytes).trim_end().to_owned()
    };
    if attributes & LABEL != 0 {
        return text(0..11);
    }
    let (base, extension) = (text(0..8), text(8..11));
    if extension.is_empty() {
        base
    } else {
        format!("{base}.{extension}")
    }
}

/// Parts of a long name, which precede the entry they name, last part first.
#[derive(Default)]
struct LongName {
    units: Vec<u16>,
    checksum: Option<u8>,
}

impl LongName {
    fn add(&mut self, raw: &[u8; ENTRY]) {
        let first = raw[0] & 0x40 != 0;
        if first {
            *self = Self {
                units: Vec::new(),
                checksum: Some(raw[13]),
            };
        }
        // At most 20 parts of 13 units each.
        if self.checksum != Some(raw[13]) || self.units.len() >= 260 {
            *self = Self::default();
            return;
        }
        let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain([28, 30]);
        let mut units: Vec<u16> = places.map(|at| u16_at(raw, at)).collect();
        units.append(&mut self.units);
        self.units = units;
    }

    /// The name, if it belongs to the entry `raw`.
    fn finish(self, raw: &[u8; ENTRY]) -> Option<String> {
        let sum = raw
            .iter()
            .take(11)
            .fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        let end = self
            .units
            .iter()
            .position(|unit| *unit == 0)
            .unwrap_or(self.units.len());
        (self.checksum == Some(sum)).then(|| String::from_utf16_lossy(self.units.get(..end).unwrap_or_default()))
    }
}
