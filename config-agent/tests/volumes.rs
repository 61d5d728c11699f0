//! Volumes of every kind that can carry a document, and damaged ones.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod support;

use keelson_config::source::{Volume, VolumeError};
use proptest::prelude::*;
use support::fat;

fn open(disk: &[u8]) -> Volume<&[u8]> {
    Volume::open(disk).unwrap().unwrap()
}

#[test]
fn reads_fat_of_every_width() {
    let long: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    let files: [(&str, &[u8]); 4] = [
        ("meta-data", b"instance-id: i"),
        ("user-data", &long),
        ("empty", b""),
        ("VENDOR.TXT", b"v"),
    ];
    // fatfs chooses the width by the size, as other tools do.
    for size in [1 << 20, 32 << 20, 600 << 20] {
        let disk = fat("CIDATA", size, &files);
        let volume = open(&disk);
        assert_eq!(
            (volume.label().unwrap().as_str(), volume.id().as_str()),
            ("CIDATA", "1234-ABCD"),
            "{size}"
        );
        assert_eq!(volume.file("user-data", 1 << 20).unwrap().unwrap(), long, "{size}");
        assert_eq!(volume.file("USER-DATA", 1 << 20).unwrap().unwrap(), long, "{size}");
        assert_eq!(volume.file("vendor.txt", 10).unwrap().unwrap(), b"v");
        assert_eq!(volume.file("empty", 10).unwrap().unwrap(), b"");
        assert_eq!(volume.file("network-config", 10).unwrap(), None);
        assert!(matches!(
            volume.file("user-data", 99_999),
            Err(VolumeError::TooLong { size: 100_000, .. })
        ));
    }
}

/// Volumes as operators make them: by dosfstools and mtools, where these are installed.
#[test]
fn reads_what_common_tools_write() {
    let directory = tempfile::tempdir().unwrap();
    let (image, document) = (directory.path().join("seed.img"), directory.path().join("user-data"));
    std::fs::write(&document, "schema = 1\n").unwrap();
    for width in ["12", "16", "32"] {
        let _ = std::fs::remove_file(&image);
        let run = |program: &str, arguments: &[&str]| {
            let command = std::process::Command::new(program)
                .args(arguments)
                .env("MTOOLS_SKIP_CHECK", "1")
                .output();
            command.is_ok_and(|output| output.status.success())
        };
        let (image, document) = (image.to_str().unwrap(), document.to_str().unwrap());
        let made = run(
            "/usr/sbin/mkfs.vfat",
            &["-C", "-F", width, "-n", "CIDATA", "-i", "00c0ffee", image, "40960"],
        ) && run("mcopy", &["-i", image, document, "::/user-data"]);
        if !made {
            eprintln!("skipped: mkfs.vfat or mcopy is missing");
            return;
        }
        let disk = std::fs::read(image).unwrap();
        let volume = open(&disk);
        assert_eq!(
            (volume.label().unwrap().as_str(), volume.id().as_str()),
            ("CIDATA", "00C0-FFEE"),
            "{width}"
        );
        assert_eq!(
            volume.file("user-data", 100).unwrap().unwrap(),
            b"schema = 1\n",
            "{width}"
        );
    }
}

#[test]
fn a_chain_that_leaves_the_volume_or_runs_in_a_circle_is_an_error_or_short() {
    let disk = fat("cidata", 1 << 20, &[("user-data", &[7; 5000])]);
    let reserved = usize::from(u16::from_le_bytes([disk[14], disk[15]])) * 512;
    for value in [0_u8, 0x11, 0xf0] {
        let mut damaged = disk.clone();
        damaged[reserved + 3..reserved + 1500].fill(value);
        let read = open(&damaged).file("user-data", 1 << 20);
        assert!(read.is_err() || read.unwrap().is_some_and(|content| content.len() == 5000));
    }
}

#[test]
fn names_of_a_folder_are_told_without_reading_its_files() {
    let disk = fat("esp", 2 << 20, &[("EFI/a long name.efi", b"x"), ("other", b"y")]);
    let volume = open(&disk);
    assert_eq!(volume.names("EFI").unwrap().unwrap(), ["a long name.efi"]);
    assert_eq!(volume.names("efi").unwrap().unwrap().len(), 1);
    assert!(volume.names("other").unwrap().is_none());
    assert!(volume.names("EFI/none").unwrap().is_none());
}

#[test]
fn what_is_no_volume_is_none() {
    for disk in [vec![], vec![0; 511], vec![0xff; 4096], vec![0; 1 << 20]] {
        assert!(Volume::open(disk.as_slice()).unwrap().is_none());
    }
}

/// Names of files in an ISO image.
#[derive(Clone, Copy, PartialEq)]
enum Names {
    Plain,
    RockRidge,
    Joliet,
}

fn both_endian(value: u32) -> Vec<u8> {
    [value.to_le_bytes(), value.to_be_bytes()].concat()
}

fn record(name: &[u8], area: &[u8], block: u32, size: usize, flags: u8) -> Vec<u8> {
    let mut record = vec![0, 0];
    record.extend(both_endian(block));
    record.extend(both_endian(u32::try_from(size).unwrap()));
    record.extend([
        126,
        11,
        24,
        8,
        0,
        0,
        0,
        flags,
        0,
        0,
        1,
        0,
        0,
        1,
        u8::try_from(name.len()).unwrap(),
    ]);
    record.extend(name);
    if record.len() % 2 == 1 {
        record.push(0);
    }
    record.extend(area);
    record[0] = u8::try_from(record.len()).unwrap();
    record
}

fn descriptor(kind: u8, label: &str, root_block: u32) -> Vec<u8> {
    let mut block = vec![0; 2048];
    block[0] = kind;
    block[1..6].copy_from_slice(b"CD001");
    block[40..72].fill(b' ');
    block[40..40 + label.len()].copy_from_slice(label.as_bytes());
    block[156..190].copy_from_slice(&record(&[0], &[], root_block, 2048, 2));
    block[813..829].copy_from_slice(b"2026112408000000");
    if kind == 2 {
        block[88..91].copy_from_slice(b"%/E");
    }
    block
}

/// A small image: descriptors at 16, directories at 20 and 21, files from 22 on.
fn iso(label: &str, names: Names, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut plain = [record(&[0], &[], 20, 2048, 2), record(&[1], &[], 20, 2048, 2)].concat();
    let mut joliet = plain.clone();
    let mut data = Vec::new();
    for (name, content) in files {
        let block = u32::try_from(22 + data.len() / 2048).unwrap();
        let mut area = Vec::new();
        if names == Names::RockRidge {
            area = [
                b"NM".as_slice(),
                &[u8::try_from(name.len()).unwrap() + 5, 1, 0],
                name.as_bytes(),
            ]
            .concat();
        }
        let short = match names {
            Names::Plain => format!("{};1", name.to_uppercase()),
            _ => format!(
                "{}.;1",
                name.to_uppercase()
                    .replace('-', "_")
                    .chars()
                    .take(8)
                    .collect::<String>()
            ),
        };
        plain.extend(record(short.as_bytes(), &area, block, content.len(), 0));
        let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
        joliet.extend(record(&wide, &[], block, content.len(), 0));
        data.extend_from_slice(content);
        data.resize(data.len().next_multiple_of(2048), 0);
    }
    plain.resize(2048, 0);
    joliet.resize(2048, 0);
    let mut image = vec![0; 16 * 2048];
    image.extend(descriptor(1, label, 20));
    image.extend(descriptor(if names == Names::Joliet { 2 } else { 0 }, label, 21));
    image.extend(descriptor(255, "", 0));
    image.resize(20 * 2048, 0);
    image.extend(plain);
    image.extend(joliet);
    image.extend(data);
    image
}

#[test]
fn reads_iso_by_every_kind_of_name() {
    for names in [Names::Plain, Names::RockRidge, Names::Joliet] {
        let disk = iso(
            "cidata",
            names,
            &[("meta-data", b"instance-id: i"), ("user-data", &[b'x'; 3000])],
        );
        let volume = open(&disk);
        assert_eq!((volume.kind(), volume.label().unwrap().as_str()), ("iso9660", "cidata"));
        assert_eq!(volume.id(), "2026112408000000");
        assert_eq!(volume.file("user-data", 4096).unwrap().unwrap(), [b'x'; 3000]);
        assert_eq!(volume.file("vendor-data", 4096).unwrap(), None);
        assert!(matches!(
            volume.file("user-data", 2999),
            Err(VolumeError::TooLong { .. })
        ));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_damage_is_survived(
        which in 0..4_usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        cut in any::<prop::sample::Index>()
    ) {
        let files: [(&str, &[u8]); 2] = [("user-data", &[1; 3000]), ("meta-data", b"instance-id: i")];
        let mut disk = match which {
            0 => fat("cidata", 64 << 10, &files),
            1 => iso("cidata", Names::Plain, &files),
            2 => iso("cidata", Names::RockRidge, &files),
            _ => iso("cidata", Names::Joliet, &files),
        };
        // Most of a volume is empty: damage what is read.
        let busy = disk.len().min(if which == 0 { 8192 } else { 23 * 2048 });
        let first = if which == 0 { 0 } else { 16 * 2048 };
        for (at, byte) in edits {
            disk[first + at.index(busy - first)] = byte;
        }
        keelson_config::fuzz::volume(&disk);
        disk.truncate(cut.index(disk.len()));
        keelson_config::fuzz::volume(&disk);
    }

    #[test]
    fn any_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 0..4096)) {
        keelson_config::fuzz::volume(&data);
        keelson_config::fuzz::meta_data(&data);
    }
}
