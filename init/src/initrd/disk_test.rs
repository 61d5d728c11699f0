//! The choice between disks, and the kernel's names on a made-up `/sys`.

use uuid::Uuid;

use super::*;
use crate::initrd::gpt::renew;
use crate::initrd::gpt::renew::tests::image_file;

/// An image's table with every identity made from `seed`.
fn disk(name: &str, seed: u128, pci_path: &[(u8, u8)]) -> Candidate {
    let mut next = seed;
    let (table, sectors) = crate::initrd::gpt::renew::tests::image_table();
    let renewed = renew(&table, sectors, || {
        next += 1;
        Uuid::from_u128(next)
    })
    .unwrap();
    Candidate {
        name: name.to_owned(),
        table: crate::initrd::gpt::renew::tests::table_of(&renewed.primary),
        sectors,
        pci_path: pci_path.to_vec(),
    }
}

fn esp(disk: &Candidate) -> Uuid {
    disk.table.partition(1).unwrap().id
}

fn found<'a>(choice: &Choice<'a>) -> Option<&'a str> {
    match choice {
        Choice::Found(disk) => Some(&disk.name),
        _ => None,
    }
}

#[test]
fn the_disk_of_the_loader_is_taken_and_no_other() {
    let disks = [disk("vda", 100, &[(2, 0)]), disk("vdb", 200, &[(3, 0)])];
    for wanted in &disks {
        let loader = Loader {
            partition: Some(esp(wanted)),
            pci_path: Some(vec![(9, 0)]),
            ..Loader::default()
        };
        assert_eq!(found(&choose(&disks, &loader)), Some(wanted.name.as_str()));
    }
    let elsewhere = Loader {
        partition: Some(Uuid::from_u128(1)),
        ..Loader::default()
    };
    assert_eq!(choose(&disks, &elsewhere), Choice::Absent);
    assert_eq!(choose(&disks, &Loader::default()), Choice::Unknown);
}

#[test]
fn copies_of_one_image_are_told_apart_by_the_controller() {
    let disks = [disk("vda", 100, &[(2, 0)]), disk("vdb", 100, &[(3, 0)])];
    let table = [
        (Some(vec![(3, 0)]), "vdb"),
        (Some(vec![(2, 0)]), "vda"),
        (Some(vec![(7, 0)]), "vda"),
        (None, "vda"),
    ];
    for (pci_path, expected) in table {
        let loader = Loader {
            partition: Some(esp(&disks[0])),
            pci_path,
            ..Loader::default()
        };
        assert_eq!(found(&choose(&disks, &loader)), Some(expected));
    }
}

#[test]
fn nodes_are_found_by_partition_number_not_by_name() {
    let root = tempfile::tempdir().unwrap();
    let (sys, dev) = (root.path().join("sys"), root.path().join("dev"));
    fs::create_dir_all(&dev).unwrap();
    for number in 1..=7 {
        let name = format!("nvme0n1p{number}");
        let directory = sys.join("block/nvme0n1").join(&name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("partition"), format!("{number}\n")).unwrap();
        if number < 7 {
            fs::write(dev.join(&name), "").unwrap();
        }
    }
    let missing = Nodes::find(&sys, &dev, "nvme0n1", &Part::ALL).unwrap_err().to_string();
    assert!(missing.contains("partition 7 (state)"), "{missing}");
    fs::write(dev.join("nvme0n1p7"), "").unwrap();
    let nodes = Nodes::find(&sys, &dev, "nvme0n1", &Part::ALL).unwrap();
    assert_eq!(nodes.part(Part::RootB), dev.join("nvme0n1p5"));
    assert_eq!(nodes.facts().slot_state, dev.join("nvme0n1p2").display().to_string());
}

/// All that a table occupies: the sectors before the first partition and behind the last.
fn tables(disk: &File, sectors: u64) -> (Vec<u8>, Vec<u8>) {
    let read = |at: u64, count: usize| {
        let mut bytes = vec![0; count * 512];
        disk.read_exact_at(&mut bytes, at * SECTOR).unwrap();
        bytes
    };
    (read(0, 34), read(sectors - 33, 33))
}

#[test]
fn a_damaged_primary_is_restored_to_the_byte_and_a_sound_one_is_left_alone() {
    let last = image_file().1 - 1;
    let table: [(&str, &[u64], bool); 5] = [
        ("nothing", &[], false),
        ("primary header", &[1], true),
        ("primary entries", &[2], true),
        ("all of the primary", &[1, 2, 33], true),
        ("backup", &[last], false),
    ];
    for (damaged, at, restored) in table {
        let (disk, sectors) = image_file();
        let original = tables(&disk, sectors);
        for sector in at {
            disk.write_all_at(&[0x5a; 512], sector * SECTOR).unwrap();
        }
        let backup = tables(&disk, sectors).1;
        assert_eq!(restore_primary(&disk, sectors).unwrap(), restored, "{damaged}");
        assert!(tables(&disk, sectors) == (original.0, backup), "{damaged}");
        let table = read_table(&disk, sectors).unwrap();
        assert!(table.is_keelson() && !table.is_backup(), "{damaged}");
        assert!(renew(&table, sectors, Uuid::nil).is_some(), "{damaged}");
        assert!(!restore_primary(&disk, sectors).unwrap(), "{damaged}: again");
    }
}

#[test]
fn without_a_sound_table_nothing_is_written() {
    let (disk, sectors) = image_file();
    for sector in [2, sectors - 2] {
        disk.write_all_at(&[0x5a; 512], sector * SECTOR).unwrap();
    }
    let before = tables(&disk, sectors);
    restore_primary(&disk, sectors).unwrap_err();
    assert!(tables(&disk, sectors) == before);
}

#[test]
fn what_is_damaged_beside_a_sound_primary_is_made_again_and_no_more() {
    use std::os::unix::fs::FileExt;
    let (disk, sectors) = image_file();
    disk.write_all_at(&mbr::protective(sectors), 0).unwrap();
    assert_eq!(plan_mending(&disk, sectors), []);
    let read = |at: u64, length: usize| {
        let mut bytes = vec![0; length];
        disk.read_exact_at(&mut bytes, at).unwrap();
        bytes
    };
    let places = [
        (0, "protective boot record"),
        ((sectors - 1) * 512, "backup of the partition table"),
        ((sectors - 20) * 512, "backup of the partition table"),
    ];
    for (at, name) in places {
        let before = read(at, 512);
        disk.write_all_at(&[0xa5; 512], at).unwrap();
        let plan = plan_mending(&disk, sectors);
        assert_eq!(plan.iter().map(|(what, _)| *what).collect::<Vec<_>>(), [name]);
        // Cut before any write, the primary still leads the machine to its slots.
        for write in plan.iter().flat_map(|(_, writes)| writes) {
            assert!(read_table(&disk, sectors).is_some_and(|table| table.is_keelson() && !table.is_backup()));
            disk.write_all_at(&write.bytes, write.at).unwrap();
        }
        mend(&disk, &plan).unwrap();
        assert_eq!(plan_mending(&disk, sectors), []);
        assert!(at > 0 || mbr::is_protective(&read(0, 512)));
        assert!(at == 0 || read(at, 512) == before, "{name}");
    }
}

#[test]
fn an_image_on_a_larger_disk_is_known_by_its_backup() {
    use keelson_image_layout::partitions::IMAGE_BYTES;
    use std::os::unix::fs::FileExt;
    let (small, sectors) = image_file();
    let disk = tempfile::tempfile().unwrap();
    disk.set_len(3 * IMAGE_BYTES).unwrap();
    // The backup of the made-up image, put where a real one ends.
    let table = read_table_at(&small, 1).unwrap();
    let at = IMAGE_BYTES / SECTOR - 1;
    let mut header = table.header.clone();
    header.other = at;
    let moved = Table::new(header, table_entries(&small, sectors)).unwrap();
    for write in backup_of(&moved).unwrap() {
        disk.write_all_at(&write.bytes, write.at).unwrap();
    }
    let found = read_table(&disk, 3 * IMAGE_BYTES / SECTOR).unwrap();
    assert!(found.is_keelson() && found.is_backup());
    assert!(restore_primary(&disk, 3 * IMAGE_BYTES / SECTOR).unwrap());
    assert!(read_table_at(&disk, 1).unwrap().is_keelson());
}

fn table_entries(disk: &File, _sectors: u64) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let mut entries = vec![0; 128 * 128];
    disk.read_exact_at(&mut entries, 2 * SECTOR).unwrap();
    entries
}
