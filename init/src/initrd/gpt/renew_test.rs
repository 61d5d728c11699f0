//! A disk in memory: a table is read, renewed, and cut at every write.

use keelson_image_layout::Part;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::initrd::gpt::table::{Header, number64};

const STATE_SECTORS: u64 = 2048;

/// Sparse disk: only the first and last 40 sectors are ever touched.
#[derive(Clone)]
struct Disk {
    sectors: u64,
    bytes: std::collections::BTreeMap<u64, Vec<u8>>,
}

impl Disk {
    fn sector(&self, at: u64) -> Vec<u8> {
        self.bytes.get(&at).cloned().unwrap_or(vec![0; 512])
    }

    fn write(&mut self, write: &Write) {
        for (index, chunk) in write.bytes.chunks(512).enumerate() {
            self.bytes.insert(write.at / 512 + index as u64, chunk.to_vec());
        }
    }

    fn table_at(&self, at: u64) -> Option<Table> {
        let header = Header::parse(&self.sector(at), at).ok()?;
        let sectors = header.array_bytes() / 512;
        let entries = (0..sectors)
            .flat_map(|index| self.sector(header.entries_at + index))
            .collect();
        Table::new(header, entries).ok()
    }

    fn table(&self) -> Option<Table> {
        self.table_at(1).or_else(|| self.table_at(self.sectors - 1))
    }
}

/// The table an image is built with.
fn image() -> (Disk, u64) {
    let mut entries = vec![0; 128 * 128];
    let mut id = 0u128;
    for (part, entry) in Part::ALL.iter().zip(entries.chunks_exact_mut(128)) {
        let first = part.start() / 512;
        let sectors = part.size().map_or(STATE_SECTORS, |bytes| bytes / 512);
        id += 1;
        put(entry, 0, &part.type_guid().to_bytes_le()).unwrap();
        put(entry, 16, &Uuid::from_u128(id).to_bytes_le()).unwrap();
        put(entry, 32, &first.to_le_bytes()).unwrap();
        put(entry, 40, &(first + sectors - 1).to_le_bytes()).unwrap();
    }
    let sectors = Part::State.start() / 512 + STATE_SECTORS + 33;
    let mut raw = [0; HEADER_BYTES];
    raw[..8].copy_from_slice(b"EFI PART");
    put(&mut raw, 40, &34u64.to_le_bytes()).unwrap();
    put(&mut raw, 80, &128u32.to_le_bytes()).unwrap();
    put(&mut raw, 84, &128u32.to_le_bytes()).unwrap();
    let header = Header {
        here: 1,
        other: sectors - 1,
        last_usable: sectors - 34,
        entries_at: 2,
        count: 128,
        entry_bytes: 128,
        entries_crc: crc32(&entries),
        raw,
    };
    let table = Table { header, entries };
    let mut disk = Disk {
        sectors,
        bytes: Default::default(),
    };
    for (here, other, entries_at) in [(1, sectors - 1, 2), (sectors - 1, 1, sectors - 33)] {
        let place = Place {
            here,
            other,
            entries_at,
            last_usable: sectors - 34,
            disk_id: Uuid::nil(),
        };
        place
            .writes(&table, &table.entries)
            .unwrap()
            .iter()
            .for_each(|write| disk.write(write));
    }
    (disk, sectors)
}

/// The image's table and the size of its disk, for tests of others.
pub(crate) fn image_table() -> (Table, u64) {
    let (disk, sectors) = image();
    (disk.table().unwrap(), sectors)
}

/// The image's disk as a sparse file, and its sectors.
pub(crate) fn image_file() -> (std::fs::File, u64) {
    use std::os::unix::fs::FileExt;
    let (disk, sectors) = image();
    let file = tempfile::tempfile().unwrap();
    file.set_len(sectors * 512).unwrap();
    for (at, bytes) in &disk.bytes {
        file.write_all_at(bytes, at * 512).unwrap();
    }
    (file, sectors)
}

/// The table that a primary's writes make.
pub(crate) fn table_of(primary: &[Write]) -> Table {
    let mut disk = Disk {
        sectors: 0,
        bytes: Default::default(),
    };
    primary.iter().for_each(|write| disk.write(write));
    disk.table_at(1).unwrap()
}

fn counter() -> impl FnMut() -> Uuid {
    let mut next = 1000u128;
    move || {
        next += 1;
        Uuid::from_u128(next)
    }
}

#[test]
fn the_image_is_recognised() {
    let (disk, _) = image();
    let table = disk.table().unwrap();
    assert!(table.is_keelson());
    assert_eq!(table.partition(2).unwrap().bytes(), 1 << 20);
    assert_eq!(table.partition(8), None);
    assert_eq!(table.partition(0), None);
    assert_eq!(table.partition(129), None);
}

#[test]
fn a_renewed_table_has_new_identities_and_reaches_the_end() {
    let (mut disk, sectors) = image();
    let old = disk.table().unwrap();
    disk.sectors = sectors + 100_000;
    let renewed = renew(&old, disk.sectors, counter()).unwrap();
    renewed
        .backup
        .iter()
        .chain(&renewed.primary)
        .for_each(|write| disk.write(write));
    let (primary, backup) = (disk.table_at(1).unwrap(), disk.table_at(disk.sectors - 1).unwrap());
    assert_eq!(primary.entries, backup.entries);
    assert!(primary.is_keelson());
    assert_eq!(primary.header.other, disk.sectors - 1);
    assert_eq!(number64(&primary.header.raw, 40), number64(&old.header.raw, 40));
    for part in Part::ALL {
        let (new, old) = (
            primary.partition(part.number()).unwrap(),
            old.partition(part.number()).unwrap(),
        );
        assert_ne!(new.id, old.id);
        assert_eq!(new.first, old.first);
    }
    let state = primary.partition(7).unwrap();
    assert_eq!(state.last, disk.sectors - 34);
    assert_eq!(renewed.state, (state.first * 512, state.bytes()));
}

#[test]
fn a_disk_smaller_than_its_table_is_left_alone() {
    let (disk, sectors) = image();
    let table = disk.table().unwrap();
    assert_eq!(renew(&table, sectors - 1, counter()), None);
    assert_eq!(renew(&table, 3, counter()), None);
    assert!(renew(&table, sectors, counter()).is_some());
}

#[test]
fn the_backup_is_not_renewed_while_it_is_the_only_good_copy() {
    let (disk, sectors) = image();
    let backup = disk.table_at(sectors - 1).unwrap();
    assert_eq!(renew(&backup, sectors, counter()), None);
}

#[test]
fn a_cut_at_any_sector_leaves_the_old_table_or_the_new_one() {
    for extra in [0, 100_000] {
        let (mut disk, sectors) = image();
        disk.sectors = sectors + extra;
        let old = disk.table().unwrap();
        let renewed = renew(&old, disk.sectors, counter()).unwrap();
        let new = {
            let mut disk = disk.clone();
            renewed
                .backup
                .iter()
                .chain(&renewed.primary)
                .for_each(|write| disk.write(write));
            disk.table().unwrap().entries
        };
        let single: Vec<Write> = renewed
            .backup
            .iter()
            .chain(&renewed.primary)
            .flat_map(|write| {
                write.bytes.chunks(512).enumerate().map(|(index, chunk)| Write {
                    at: write.at + 512 * index as u64,
                    bytes: chunk.to_vec(),
                })
            })
            .collect();
        for write in &single {
            disk.write(write);
            let entries = disk.table().expect("some table is readable").entries;
            assert!(entries == old.entries || entries == new);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut sector in proptest::collection::vec(any::<u8>(), 0..600), fix in any::<bool>()) {
        if fix && sector.len() >= 92 {
            sector[..8].copy_from_slice(b"EFI PART");
            put(&mut sector, 12, &92u32.to_le_bytes()).unwrap();
            put(&mut sector, 24, &1u64.to_le_bytes()).unwrap();
            let crc = header_crc(&sector[..92]);
            put(&mut sector, 16, &crc.to_le_bytes()).unwrap();
        }
        if let Ok(header) = Header::parse(&sector, 1) {
            let _ = Table::new(header, vec![0; 128]);
        }
    }
}
