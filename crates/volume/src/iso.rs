//! Reads ISO 9660: the label, and files by their Joliet, Rock Ridge or plain names.
//!
//! After ECMA-119 and the Joliet specification; of Rock Ridge (IEEE P1282) only the name.

use crate::read::{ReadAt, u32_at};
use crate::volume::{VolumeError, bounded};

/// An ISO 9660 volume.
#[derive(Debug)]
pub struct Iso<R> {
    device: R,
    label: String,
    id: String,
    root: Extent,
    names: Names,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    block: u32,
    size: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// UTF-16, big-endian.
    Joliet,
    /// Plain, with Rock Ridge's name in the system use area where there is one.
    Plain,
}

const BLOCK: u64 = 2048;
/// Descriptors stand from block 16 on; more than this many are not looked at.
const MAX_DESCRIPTORS: u64 = 16;
/// The most bytes of a directory that are looked at.
const MAX_DIRECTORY: u32 = 1 << 20;

impl<R: ReadAt> Iso<R> {
    /// Recognises ISO 9660 by its descriptors; gives the device back when it is something else.
    ///
    /// # Errors
    /// The device failed while the descriptors were read.
    pub fn open(device: R) -> Result<Result<Self, R>, VolumeError> {
        let mut primary: Option<[u8; 2048]> = None;
        let mut joliet: Option<Extent> = None;
        for block in 16..16 + MAX_DESCRIPTORS {
            let Ok(descriptor) = device.array::<2048>(block * BLOCK) else {
                break;
            };
            if descriptor.get(1..6) != Some(b"CD001") {
                break;
            }
            match descriptor[0] {
                1 if primary.is_none() => primary = Some(descriptor),
                2 if is_joliet(&descriptor) => joliet = joliet.or(root_extent(&descriptor)),
                255 => break,
                _ => {}
            }
        }
        let Some(primary) = primary else { return Ok(Err(device)) };
        let plain = root_extent(&primary);
        let (root, names) = match (joliet, plain) {
            (Some(root), _) => (root, Names::Joliet),
            (None, Some(root)) => (root, Names::Plain),
            (None, None) => return Err(VolumeError::Damaged("the root directory has no record")),
        };
        let text = |range: std::ops::Range<usize>| {
            let bytes = primary.get(range).unwrap_or_default();
            String::from_utf8_lossy(bytes).trim_end_matches([' ', '\0']).to_owned()
        };
        Ok(Ok(Self {
            device,
            label: text(40..72),
            id: text(813..829),
            root,
            names,
        }))
    }

    /// The volume identifier.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Time of creation, sixteen digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// See [`crate::Volume::file`].
    ///
    /// # Errors
    /// It is longer than `limit`, or the volume is damaged.
    pub fn file(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, VolumeError> {
        let mut place = self.root;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let directory = self.read(Extent {
                size: place.size.min(MAX_DIRECTORY),
                ..place
            })?;
            match find(&directory, part, self.names, parts.peek().is_some()) {
                Some(extent) => place = extent,
                None => return Ok(None),
            }
        }
        bounded(path, place.size.into(), limit)?;
        self.read(place).map(Some)
    }

    fn read(&self, extent: Extent) -> Result<Vec<u8>, VolumeError> {
        let mut bytes = vec![0; usize::try_from(extent.size).unwrap_or(0)];
        self.device.read_at(u64::from(extent.block) * BLOCK, &mut bytes)?;
        Ok(bytes)
    }
}

/// A supplementary descriptor with one of the three escape sequences of UCS-2.
fn is_joliet(descriptor: &[u8]) -> bool {
    matches!(descriptor.get(88..91), Some(b"%/@" | b"%/C" | b"%/E"))
}

fn root_extent(descriptor: &[u8]) -> Option<Extent> {
    record_extent(descriptor.get(156..190)?)
}

fn record_extent(record: &[u8]) -> Option<Extent> {
    let extent = Extent {
        block: u32_at(record, 2),
        size: u32_at(record, 10),
    };
    (extent.block != 0).then_some(extent)
}

/// The file or folder `name` in a directory; records do not cross blocks.
fn find(directory: &[u8], name: &str, names: Names, folder: bool) -> Option<Extent> {
    for block in directory.chunks(2048) {
        let mut rest = block;
        while let Some(length) = rest.first().copied().map(usize::from).filter(|length| *length >= 34) {
            let Some((record, tail)) = rest.split_at_checked(length) else {
                break;
            };
            let is_directory = record.get(25).is_some_and(|flags| flags & 2 != 0);
            if is_directory == folder
                && record_name(record, names).is_some_and(|found| found.eq_ignore_ascii_case(name))
            {
                return record_extent(record).or(Some(Extent { block: 0, size: 0 }));
            }
            rest = tail;
        }
    }
    None
}

fn record_name(record: &[u8], names: Names) -> Option<String> {
    let length = usize::from(*record.get(32)?);
    let raw = record.get(33..33 + length)?;
    let name = match names {
        Names::Joliet => {
            let units: Vec<u16> = raw
                .as_chunks::<2>()
                .0
                .iter()
                .map(|pair| u16::from_be_bytes(*pair))
                .collect();
            String::from_utf16_lossy(&units)
        }
        Names::Plain => {
            // The system use area begins at an even offset.
            let area = record.get((33 + length).next_multiple_of(2)..).unwrap_or_default();
            rock_ridge_name(area).unwrap_or_else(|| String::from_utf8_lossy(raw).into_owned())
        }
    };
    let name = name.split(';').next().unwrap_or_default();
    Some(name.trim_end_matches('.').to_owned())
}

/// The name in the `NM` entries of a system use area.
fn rock_ridge_name(area: &[u8]) -> Option<String> {
    let mut rest = area;
    let mut name: Option<Vec<u8>> = None;
    while let Some(length) = rest.get(2).copied().map(usize::from).filter(|length| *length >= 4) {
        let Some((entry, tail)) = rest.split_at_checked(length) else {
            break;
        };
        if entry.starts_with(b"NM") {
            name.get_or_insert_default()
                .extend_from_slice(entry.get(5..).unwrap_or_default());
        }
        rest = tail;
    }
    name.map(|name| String::from_utf8_lossy(&name).into_owned())
}
