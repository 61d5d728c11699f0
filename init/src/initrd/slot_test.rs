//! The order of writes around a boot, on files in place of partitions.

use std::fs;

use keelson_image_layout::RootHash;
use keelson_image_layout::slot_state::boot::{Choice, Trace};

use super::*;

const HASH: RootHash = RootHash([5; 32]);

fn nodes(directory: &Path) -> Nodes {
    let (sys, dev) = (directory.join("sys"), directory.join("dev"));
    fs::create_dir_all(&dev).unwrap();
    for part in Part::ALL {
        let name = format!("vda{}", part.number());
        let entry = sys.join("block/vda").join(&name);
        fs::create_dir_all(&entry).unwrap();
        fs::write(entry.join("partition"), part.number().to_string()).unwrap();
        let file = fs::File::create(dev.join(&name)).unwrap();
        file.set_len(1 << 20).unwrap();
    }
    Nodes::find(&sys, &dev, "vda", &Part::ALL).unwrap()
}

fn attempt() -> Attempt<'static> {
    Attempt {
        slot: Slot::A,
        root_hash: HASH,
        version: "1",
        choice: Choice::Open,
    }
}

fn record(state: State, tries: u8) -> SlotRecord {
    SlotRecord {
        state,
        tries,
        root_hash: HASH.0,
        ..SlotRecord::EMPTY
    }
}

fn stored(nodes: &Nodes) -> SlotState {
    match RecordStore::open(nodes.part(Part::SlotState)).unwrap().read() {
        Found::Record(current) => current.state,
        other => panic!("{other:?}"),
    }
}

fn store(nodes: &Nodes, a: SlotRecord, b: SlotRecord) {
    let mut state = SlotState::new([a, b]);
    state.last_booted = Some(Slot::A);
    RecordStore::open(nodes.part(Part::SlotState))
        .unwrap()
        .write(&state, 0)
        .unwrap();
}

#[test]
fn an_empty_partition_gets_a_record_and_boots() {
    let directory = tempfile::tempdir().unwrap();
    let nodes = nodes(directory.path());
    assert_eq!(begin(&nodes, &attempt(), None), Verdict::Go { trial: true });
    assert_eq!(stored(&nodes).slot(Slot::A).root_hash, HASH.0);
}

#[test]
fn a_failure_and_the_boot_are_written_together() {
    let directory = tempfile::tempdir().unwrap();
    let nodes = nodes(directory.path());
    store(&nodes, record(State::Good, 3), record(State::Trial, 3));
    let failure = Failure {
        trace: Trace {
            reason: Reason::Corruption,
            number: 8,
        },
        text: String::new(),
    };
    assert_eq!(begin(&nodes, &attempt(), Some(&failure)), Verdict::Go { trial: false });
    let state = stored(&nodes);
    assert_eq!(
        (state.slot(Slot::A).tries, state.slot(Slot::A).reason),
        (2, Reason::Corruption)
    );
    assert_eq!(begin(&nodes, &attempt(), Some(&failure)), Verdict::Go { trial: false });
    assert_eq!(
        stored(&nodes),
        state,
        "the same trace counts once and a good slot is not counted"
    );
}

#[test]
fn a_refused_slot_is_booted_when_its_entry_cannot_be_demoted() {
    let directory = tempfile::tempdir().unwrap();
    let nodes = nodes(directory.path());
    store(&nodes, record(State::Trial, 0), record(State::Good, 3));
    // The "ESP" here is an empty file: nothing can be renamed, so rebooting would go round in a circle.
    assert_eq!(begin(&nodes, &attempt(), None), Verdict::Go { trial: true });
    assert_eq!(stored(&nodes).slot(Slot::A).state, State::Bad);
}

#[test]
fn damage_is_recorded_against_the_slot() {
    let directory = tempfile::tempdir().unwrap();
    let nodes = nodes(directory.path());
    store(&nodes, record(State::Trial, 2), record(State::Trial, 3));
    root_failed(&nodes, Slot::A, Reason::Corruption);
    let state = stored(&nodes);
    assert_eq!(
        (state.slot(Slot::A).state, state.slot(Slot::A).reason),
        (State::Bad, Reason::Corruption)
    );
    assert_eq!(state.slot(Slot::B).state, State::Trial);
}

#[test]
fn without_a_record_the_entry_goes_behind_that_of_the_other_slot() {
    let table: [(&[&str], &[&str]); 6] = [
        (&["ka.efi", "kb.efi"], &["ka+0-3.efi", "kb.efi"]),
        (&["ka+2-1.efi", "kb+3-0.efi"], &["ka+0-3.efi", "kb+3-0.efi"]),
        (&["ka+0-3.efi", "kb.efi"], &["ka+0-3.efi", "kb.efi"]),
        (&["ka.efi"], &["ka.efi"]),
        (&["kb.efi"], &["kb.efi"]),
        (&["ka.efi", "other.efi"], &["ka.efi", "other.efi"]),
    ];
    for (before, after) in table {
        let directory = tempfile::tempdir().unwrap();
        let entries = directory.path().join("EFI/Linux");
        fs::create_dir_all(&entries).unwrap();
        for name in before {
            fs::write(entries.join(name), name).unwrap();
        }
        let esp = Esp::at(directory.path()).unwrap();
        demote_unrecorded(&esp, Slot::A).unwrap();
        assert_eq!(esp.names().unwrap(), after, "{before:?}");
    }
}
