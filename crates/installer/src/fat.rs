//! Writer of fresh FAT32 volumes: every directory in one cluster, every file in one piece, the same bytes for the same
//! content. Volumes are read, and changed, by others.
//!
//! Own, since the maintained-no-more `fatfs` gives `.` and `..` long names, which checkers take for damage. Source:
//! Microsoft "FAT: General Overview of On-Disk Format" 1.03.

use std::io::{self, Seek, SeekFrom, Write};

use thiserror::Error;

use super::fat_name::{RECORD, Stamp, dot_records, label_record, records};

/// What a volume is.
#[derive(Debug, Clone, Copy)]
pub struct Volume<'a> {
    /// Size in bytes.
    pub bytes: u64,
    /// Bytes of a cluster: 512 to 32768, a power of two.
    pub cluster: u32,
    /// Label, at most eleven characters, upper case.
    pub label: &'a str,
    /// Serial number.
    pub id: u32,
    /// Seconds since 1970 of every time stamp.
    pub time: u64,
}

/// Why a volume was not written.
#[derive(Debug, Error)]
pub enum FatError {
    /// The device refused.
    #[error("FAT volume")]
    Device(#[from] io::Error),
    /// Number of clusters outside of FAT32.
    #[error("{clusters} clusters do not make a FAT32 volume")]
    Clusters {
        /// As computed.
        clusters: u64,
    },
    /// A directory would need more than one cluster.
    #[error("directory {path:?} has more entries than one cluster holds")]
    Directory {
        /// The directory.
        path: String,
    },
    /// The files do not fit.
    #[error("the files do not fit the volume")]
    Full,
}

const SECTOR: u64 = 512;
const FATS: u64 = 2;
const FIRST_CLUSTER: u32 = 2;
const END_OF_CHAIN: u32 = 0x0fff_ffff;
/// Fewer would make it FAT16.
const CLUSTERS_MIN: u64 = 65_525;
const CLUSTERS_MAX: u64 = 0x0fff_fff5;
const RESERVED_MIN: u64 = 32;

/// Where everything lies, in sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Geometry {
    sectors: u64,
    per_cluster: u64,
    reserved: u64,
    per_fat: u64,
    clusters: u64,
}

fn plan_geometry(bytes: u64, cluster: u32) -> Result<Geometry, FatError> {
    let (sectors, per_cluster) = (bytes / SECTOR, u64::from(cluster) / SECTOR);
    let upper = sectors / per_cluster.max(1);
    let per_fat = ((upper + u64::from(FIRST_CLUSTER)) * 4).div_ceil(SECTOR);
    // Data begins on a multiple of the cluster size.
    let reserved = (RESERVED_MIN + FATS * per_fat).next_multiple_of(per_cluster.max(1)) - FATS * per_fat;
    let clusters = sectors.saturating_sub(reserved + FATS * per_fat) / per_cluster.max(1);
    if !(CLUSTERS_MIN..=CLUSTERS_MAX).contains(&clusters) {
        return Err(FatError::Clusters { clusters });
    }
    Ok(Geometry {
        sectors,
        per_cluster,
        reserved,
        per_fat,
        clusters,
    })
}

impl Geometry {
    fn at(&self, cluster: u32) -> SeekFrom {
        let index = u64::from(cluster - FIRST_CLUSTER);
        SeekFrom::Start((self.reserved + FATS * self.per_fat + index * self.per_cluster) * SECTOR)
    }
}

/// A directory being laid out.
struct Directory {
    path: String,
    cluster: u32,
    records: Vec<u8>,
}

/// Makes a volume with these files, by path with `/`; directories are made as needed. `device` holds only zeros.
///
/// # Errors
/// See [`FatError`].
pub fn write<D: Write + Seek>(device: &mut D, volume: &Volume<'_>, files: &[(String, &[u8])]) -> Result<(), FatError> {
    let geometry = plan_geometry(volume.bytes, volume.cluster)?;
    let stamp = Stamp::new(volume.time);
    let mut chains = Chains {
        next: FIRST_CLUSTER,
        table: vec![0x0fff_fff8, END_OF_CHAIN],
        room: geometry.clusters,
    };
    let root = Directory {
        path: String::new(),
        cluster: chains.take(1)?,
        records: label_record(volume.label, stamp),
    };
    let mut directories = vec![root];
    for (path, _) in files {
        make_parents(&mut directories, &mut chains, path, stamp)?;
    }
    for (path, content) in files {
        let count = (content.len() as u64).div_ceil(volume.cluster.into());
        let cluster = if count == 0 { 0 } else { chains.take(count)? };
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        add(
            &mut directories,
            parent,
            name,
            cluster,
            Some(content.len() as u32),
            stamp,
        );
        if cluster != 0 {
            device.seek(geometry.at(cluster))?;
            device.write_all(content)?;
        }
    }
    for directory in &directories {
        if directory.records.len() > volume.cluster as usize {
            return Err(FatError::Directory {
                path: directory.path.clone(),
            });
        }
        device.seek(geometry.at(directory.cluster))?;
        device.write_all(&directory.records)?;
    }
    write_tables(device, &geometry, &chains)?;
    write_boot_sectors(device, volume, &geometry, &chains)
}

/// The allocation table under construction.
struct Chains {
    next: u32,
    table: Vec<u32>,
    room: u64,
}

impl Chains {
    /// Takes `count` clusters in one piece; says the first.
    fn take(&mut self, count: u64) -> Result<u32, FatError> {
        let first = self.next;
        let end = u64::from(first) + count;
        if end > self.room + u64::from(FIRST_CLUSTER) {
            return Err(FatError::Full);
        }
        let end = u32::try_from(end).map_err(|_| FatError::Full)?;
        self.table.extend(first + 1..end);
        self.table.push(END_OF_CHAIN);
        self.next = end;
        Ok(first)
    }
}

fn make_parents(
    directories: &mut Vec<Directory>,
    chains: &mut Chains,
    path: &str,
    stamp: Stamp,
) -> Result<(), FatError> {
    for (at, _) in path.match_indices('/') {
        let folder = path.get(..at).unwrap_or_default();
        if directories.iter().any(|directory| directory.path == folder) {
            continue;
        }
        let (parent, name) = folder.rsplit_once('/').unwrap_or(("", folder));
        let cluster = chains.take(1)?;
        let above = add(directories, parent, name, cluster, None, stamp);
        directories.push(Directory {
            path: folder.to_owned(),
            cluster,
            records: dot_records(cluster, above, stamp),
        });
    }
    Ok(())
}

/// Adds a name to a directory; says that directory's cluster as `..` has it: 0 for the root.
fn add(directories: &mut [Directory], parent: &str, name: &str, cluster: u32, size: Option<u32>, stamp: Stamp) -> u32 {
    let Some(directory) = directories.iter_mut().find(|directory| directory.path == parent) else {
        return 0;
    };
    let new = records(name, &directory.records, cluster, size, stamp);
    directory.records.extend(new);
    if parent.is_empty() { 0 } else { directory.cluster }
}

fn write_tables<D: Write + Seek>(device: &mut D, geometry: &Geometry, chains: &Chains) -> Result<(), FatError> {
    let bytes: Vec<u8> = chains.table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    for copy in 0..FATS {
        device.seek(SeekFrom::Start((geometry.reserved + copy * geometry.per_fat) * SECTOR))?;
        device.write_all(&bytes)?;
    }
    Ok(())
}

fn write_boot_sectors<D: Write + Seek>(
    device: &mut D,
    volume: &Volume<'_>,
    geometry: &Geometry,
    chains: &Chains,
) -> Result<(), FatError> {
    let boot = boot_sector(volume, geometry);
    let used = u64::from(chains.next - FIRST_CLUSTER);
    let info = info_sector((geometry.clusters - used) as u32, chains.next);
    for (sector, bytes) in [(0, &boot), (1, &info), (6, &boot), (7, &info)] {
        device.seek(SeekFrom::Start(sector * SECTOR))?;
        device.write_all(bytes)?;
    }
    Ok(())
}

/// Bytes put one behind the other, then filled up to a sector that ends in the boot signature.
fn sector(parts: &[&[u8]]) -> [u8; SECTOR as usize] {
    let mut bytes = [0; SECTOR as usize];
    let signature: &[u8] = &[0x55, 0xaa];
    let body = parts.iter().flat_map(|part| part.iter());
    bytes.iter_mut().zip(body).for_each(|(to, from)| *to = *from);
    bytes
        .iter_mut()
        .rev()
        .zip(signature.iter().rev())
        .for_each(|(to, from)| *to = *from);
    bytes
}

fn boot_sector(volume: &Volume<'_>, geometry: &Geometry) -> [u8; SECTOR as usize] {
    let label = format!("{:<11}", volume.label);
    sector(&[
        &[0xeb, 0x58, 0x90],
        b"KEELSON ",
        &(SECTOR as u16).to_le_bytes(),
        &[geometry.per_cluster as u8],
        &(geometry.reserved as u16).to_le_bytes(),
        &[FATS as u8],
        &[0; 4], // root entries and sectors of FAT12/16
        &[0xf8], // fixed medium
        &[0; 2], // sectors per FAT of FAT12/16
        &32u16.to_le_bytes(),
        &64u16.to_le_bytes(),
        &[0; 4], // sectors before the volume: not known here
        &(geometry.sectors as u32).to_le_bytes(),
        &(geometry.per_fat as u32).to_le_bytes(),
        &[0; 4], // mirrored FATs, version 0
        &FIRST_CLUSTER.to_le_bytes(),
        &1u16.to_le_bytes(),
        &6u16.to_le_bytes(),
        &[0; 12],
        &[0x80, 0, 0x29],
        &volume.id.to_le_bytes(),
        label.as_bytes().get(..11).unwrap_or_default(),
        b"FAT32   ",
    ])
}

fn info_sector(free: u32, next: u32) -> [u8; SECTOR as usize] {
    sector(&[
        b"RRaA",
        &[0; 480],
        b"rrAa",
        &free.to_le_bytes(),
        &next.to_le_bytes(),
        &[0; 12],
    ])
}

/// Bytes a directory takes for these names, `.` and `..` included.
#[must_use]
pub fn directory_bytes<'a>(names: impl IntoIterator<Item = &'a str>) -> usize {
    let mut all = dot_records(0, 0, Stamp::new(0));
    for name in names {
        let new = records(name, &all, 0, Some(0), Stamp::new(0));
        all.extend(new);
    }
    debug_assert_eq!(all.len() % RECORD, 0);
    all.len()
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use proptest::prelude::*;

    use super::*;

    const VOLUME: Volume<'static> = Volume {
        bytes: 40 << 20,
        cluster: 512,
        label: "CIDATA",
        id: 0x1234_5678,
        time: 1_700_000_001,
    };

    fn made(files: &[(&str, &[u8])]) -> Result<Vec<u8>, FatError> {
        let mut device = vec![0; VOLUME.bytes as usize];
        let files: Vec<(String, &[u8])> = files
            .iter()
            .map(|(path, content)| ((*path).to_owned(), *content))
            .collect();
        write(&mut Cursor::new(&mut device), &VOLUME, &files)?;
        Ok(device)
    }

    fn read_back(device: &mut Vec<u8>, path: &str) -> Vec<u8> {
        let volume = fatfs::FileSystem::new(Cursor::new(device), fatfs::FsOptions::new()).unwrap();
        let mut content = Vec::new();
        volume
            .root_dir()
            .open_file(path)
            .unwrap()
            .read_to_end(&mut content)
            .unwrap();
        content
    }

    #[test]
    fn another_reader_finds_every_file() {
        let big: Vec<u8> = (0..70_000u32).map(|index| (index / 3) as u8).collect();
        let files: [(&str, &[u8]); 4] = [
            ("user-data", b"x"),
            ("EFI/BOOT/BOOTX64.EFI", &big),
            ("EFI/Linux/ka+3-0.efi", b"entry"),
            ("empty", b""),
        ];
        let mut device = made(&files).unwrap();
        for (path, content) in files {
            assert!(read_back(&mut device, path) == content, "{path}");
        }
    }

    #[test]
    fn fsck_finds_nothing_to_repair() {
        let place = tempfile::NamedTempFile::new().unwrap();
        let files: [(&str, &[u8]); 3] = [
            ("EFI/Linux/ka+3-0.efi", b"a"),
            ("EFI/Linux/kb+3-0.efi", b"b"),
            ("meta-data", b"c"),
        ];
        std::fs::write(place.path(), made(&files).unwrap()).unwrap();
        let Ok(output) = std::process::Command::new("/usr/sbin/fsck.fat")
            .arg("-n")
            .arg(place.path())
            .output()
        else {
            assert!(
                std::env::var_os("KEELSON_STRICT").is_none(),
                "no fsck.fat (package dosfstools)"
            );
            eprintln!("skipped: fsck.fat (package dosfstools) is not installed");
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let many: Vec<String> = (0..8).map(|index| format!("d/file-{index}.text")).collect();
        let many: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &b""[..])).collect();
        assert!(matches!(made(&many), Err(FatError::Directory { path }) if path == "d"));
        let big = vec![0; 40 << 20];
        assert!(matches!(made(&[("big", &big)]), Err(FatError::Full)));
        assert!(matches!(plan_geometry(16 << 20, 512), Err(FatError::Clusters { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn another_reader_finds_files_of_any_name_and_size(
            files in proptest::collection::btree_map("[a-z][a-zA-Z0-9+ _-]{0,18}(\\.[a-z]{1,4})?", 0usize..3000, 1..5),
        ) {
            let contents: Vec<Vec<u8>> = files.values().map(|size| vec![*size as u8; *size]).collect();
            let list: Vec<(&str, &[u8])> =
                files.keys().map(String::as_str).zip(contents.iter().map(Vec::as_slice)).collect();
            let mut names: Vec<String> = files.keys().map(|name| name.trim_end().to_lowercase()).collect();
            names.dedup();
            // FAT ignores case and blanks at the end; the writer is not given such twins.
            prop_assume!(names.len() == files.len() && files.keys().all(|name| name.trim_end() == name));
            match made(&list) {
                Ok(mut device) => {
                    for (name, content) in list {
                        prop_assert!(read_back(&mut device, name) == content, "{}", name);
                    }
                }
                Err(error) => prop_assert!(matches!(error, FatError::Directory { .. }), "{}", error),
            }
        }
    }

    proptest! {
        #[test]
        fn tables_and_data_fit_the_volume(mib in 34u64..4096, power in 0u32..7) {
            let cluster = 512 << power;
            if let Ok(geometry) = plan_geometry(mib << 20, cluster) {
                let data = geometry.reserved + FATS * geometry.per_fat;
                prop_assert_eq!(data % geometry.per_cluster, 0);
                prop_assert!(data + geometry.clusters * geometry.per_cluster <= geometry.sectors);
                prop_assert!((geometry.clusters + 2) * 4 <= geometry.per_fat * SECTOR);
            }
        }
    }
}
