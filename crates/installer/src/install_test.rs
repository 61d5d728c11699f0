//! Installing onto files, whole and cut at every report.

use keelson_image_layout::partitions::STATE_MINIMUM;

use super::*;
use crate::verity::hash_tree;

const DISK: u64 = 3 << 30;

/// A release with a root of a few blocks.
fn source() -> Source {
    let root = tempfile::tempfile().unwrap();
    let content: Vec<u8> = (0..40 * 4096).map(|index| (index / 7) as u8).collect();
    root.write_all_at(&content, 512).unwrap();
    let state = tempfile::tempfile().unwrap();
    state.set_len(STATE_MINIMUM).unwrap();
    state.write_all_at(b"state", 1024).unwrap();
    Source {
        version: "1.2.3".to_owned(),
        tree: hash_tree(&mut content.as_slice(), [3; 32]).unwrap(),
        root,
        root_start: 512,
        entry: b"entry".to_vec(),
        esp: vec![Held {
            path: esp::LOADER.to_owned(),
            bytes: b"loader".to_vec(),
        }],
        time: 1_700_000_000,
        state: template::pack(&state, STATE_MINIMUM).unwrap(),
    }
}

/// A disk with something on it, its table included.
fn used_disk() -> File {
    let disk = tempfile::tempfile().unwrap();
    disk.set_len(DISK).unwrap();
    table::write(&mut &disk, DISK, &|name| {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
    })
    .unwrap();
    for at in [Part::Esp.start(), Part::SlotState.start(), Part::State.start() + 8192] {
        disk.write_all_at(&[0x5a; 4096], at).unwrap();
    }
    disk
}

fn ids(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, name.as_bytes())
}

#[test]
fn a_used_disk_becomes_a_system_disk_with_identities_of_its_own() {
    let (disk, source) = (used_disk(), source());
    let before: Vec<Uuid> = table::read(&disk).unwrap().iter().map(|found| found.id).collect();
    let mut reports = Vec::new();
    install(&disk, DISK, &source, Some("schema = 1\n"), &ids, &mut |progress| {
        reports.push(progress.clone());
        Ok(())
    })
    .unwrap();
    let found = table::read(&disk).unwrap();
    assert_eq!(found.len(), Part::ALL.len());
    assert!(found.iter().all(|part| !before.contains(&part.id)));
    let volume = esp::read(Region::new(&disk, Part::Esp.start(), Part::Esp.size().unwrap())).unwrap();
    let paths: Vec<&str> = volume.files.iter().map(|file| file.path.as_str()).collect();
    for path in [
        esp::LOADER,
        "EFI/Linux/ka+3-0.efi",
        "EFI/Linux/kb+3-0.efi",
        "keelson/config.toml",
    ] {
        assert!(paths.contains(&path), "{path} in {paths:?}");
    }
    let mut state = [0; 8192];
    disk.read_exact_at(&mut state, Part::State.start() + 1024).unwrap();
    assert!(state.starts_with(b"state") && state[5..].iter().all(|byte| *byte == 0));
    let last = reports.last().unwrap();
    assert_eq!(last.done, last.total);
}

#[test]
fn cut_anywhere_the_disk_has_no_partition_table() {
    let source = source();
    let mut allowed = 0;
    loop {
        let (disk, mut seen, mut step) = (used_disk(), 0, String::new());
        let result = install(&disk, DISK, &source, None, &ids, &mut |progress| {
            seen += 1;
            step.clone_from(&progress.step);
            if seen > allowed {
                Err(io::ErrorKind::BrokenPipe.into())
            } else {
                Ok(())
            }
        });
        if result.is_ok() {
            break;
        }
        let mut header = [0; 8];
        disk.read_exact_at(&mut header, SECTOR).unwrap();
        // The very last flush comes after the header; before it nothing may be valid. Erasing is the first step.
        let complete = step == "writing the partition table" && header == *b"EFI PART";
        assert!(
            complete || allowed == 0 || header == [0; 8],
            "a table after {allowed} reports, {step}"
        );
        allowed = if allowed < 4 { allowed + 1 } else { allowed * 2 };
    }
    assert!(allowed > 16, "only {allowed} reports");
}

#[test]
fn a_disk_that_forgets_is_noticed() {
    let (disk, source) = (used_disk(), source());
    let spoil = disk.try_clone().unwrap();
    let result = install(&disk, DISK, &source, None, &ids, &mut |progress| {
        if progress.step == "flushing" {
            spoil.write_all_at(&[0xff], Slot::B.root().start() + 5000)?;
        }
        Ok(())
    });
    assert!(
        matches!(result, Err(InstallError::ReadBack { slot: Slot::B })),
        "{result:?}"
    );
    assert!(table::read(&disk).is_err());
}

#[test]
fn a_disk_too_small_for_the_state_is_not_touched() {
    let (disk, source) = (used_disk(), source());
    let small = Part::State.start() + STATE_MINIMUM;
    assert!(install(&disk, small, &source, None, &ids, &mut |_| Ok(())).is_err());
    assert!(table::read(&disk).is_ok());
}
