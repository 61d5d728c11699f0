//! Committing on files in place of partitions, cut and repeated.

use std::fs;
use std::path::PathBuf;

use keelson_image_layout::slot_state::boot::{Attempt, Boot, Choice, decide_boot, unknown};
use keelson_image_layout::verity::VerityParams;
use keelson_image_layout::{Reason, Release, RootHash, State, StateMount, facts};
use keelson_slot_store::record::RecordError;

use super::*;

struct Machine {
    directory: tempfile::TempDir,
    facts: BootFacts,
}

impl Machine {
    /// Slot A was booted on trial; `names` are the entries on the ESP.
    fn new(names: &[&str]) -> Machine {
        let directory = tempfile::tempdir().unwrap();
        let entries = directory.path().join("esp/EFI/Linux");
        fs::create_dir_all(&entries).unwrap();
        names
            .iter()
            .for_each(|name| fs::write(entries.join(name), name).unwrap());
        let record = directory.path().join("slot-state");
        fs::File::create(&record).unwrap().set_len(1 << 20).unwrap();
        let verity = VerityParams {
            root_hash: RootHash([4; 32]),
            salt: RootHash([5; 32]),
            data_blocks: 1,
        };
        let attempt = Attempt {
            slot: Slot::A,
            root_hash: verity.root_hash,
            version: "1",
            choice: Choice::Open,
        };
        let Boot::Go { write: Some(state), .. } = decide_boot(&unknown(), &attempt) else {
            panic!("goes on")
        };
        RecordStore::open(&record).unwrap().write(&state, 0).unwrap();
        let facts = BootFacts {
            format: 1,
            release: Release {
                format: 1,
                version: "1".to_owned(),
                kernel: String::new(),
                time: 0,
                verity,
            },
            slot: Slot::A,
            trial: true,
            boot_id: String::new(),
            first_boot: false,
            disk: facts::Disk {
                device: String::new(),
                esp: String::new(),
                slot_state: record.display().to_string(),
                state: String::new(),
                slots: None,
            },
            state: StateMount::ReadWrite,
            previous_failure: None,
            slots: None,
            secure_boot: keelson_image_layout::SecureBoot::default(),
            milestones: Vec::new(),
        };
        Machine { directory, facts }
    }

    fn store(&self) -> RecordStore {
        RecordStore::open(&PathBuf::from(&self.facts.disk.slot_state)).unwrap()
    }

    fn esp(&self) -> Esp {
        Esp::at(&self.directory.path().join("esp")).unwrap()
    }

    fn run(&self) -> Result<SlotState> {
        let state = commit(&self.store(), &self.facts)?;
        align(&self.esp(), &state, self.facts.slot)?;
        Ok(state)
    }
}

#[test]
fn the_running_slot_is_committed_and_the_other_kept() {
    let machine = Machine::new(&["ka+2-1.efi", "kb+3-0.efi"]);
    let state = machine.run().unwrap();
    assert_eq!((state.slot(Slot::A).state, state.slot(Slot::A).tries), (State::Good, 3));
    assert_eq!(state.slot(Slot::B).state, State::Trial);
    assert_eq!(machine.esp().names().unwrap(), ["ka.efi", "kb+3-0.efi"]);
    assert_eq!(machine.run().unwrap(), state, "a second run changes nothing");
}

#[test]
fn a_cut_between_record_and_name_is_finished_by_the_next_run() {
    let machine = Machine::new(&["ka+2-1.efi", "kb+3-0.efi"]);
    commit(&machine.store(), &machine.facts).unwrap();
    assert_eq!(machine.esp().names().unwrap(), ["ka+2-1.efi", "kb+3-0.efi"]);
    machine.run().unwrap();
    assert_eq!(machine.esp().names().unwrap(), ["ka.efi", "kb+3-0.efi"]);
}

#[test]
fn a_lost_counter_of_the_other_slot_is_put_back() {
    let machine = Machine::new(&["ka+2-1.efi", "kb.efi"]);
    machine.run().unwrap();
    assert_eq!(machine.esp().names().unwrap(), ["ka.efi", "kb+3-0.efi"]);
}

#[test]
fn a_slot_given_up_stays_behind() {
    let machine = Machine::new(&["ka+2-1.efi", "kb.efi"]);
    machine
        .store()
        .change(|state| {
            let mut next = decide::successor(state);
            next.slot_mut(Slot::B).state = State::Bad;
            next.slot_mut(Slot::B).reason = Reason::Corruption;
            Some(next)
        })
        .unwrap();
    machine.run().unwrap();
    assert_eq!(machine.esp().names().unwrap(), ["ka.efi", "kb+0-3.efi"]);
}

#[test]
fn another_release_in_the_record_is_not_committed() {
    let mut machine = Machine::new(&["ka+2-1.efi"]);
    machine.facts.release.verity.root_hash = RootHash([6; 32]);
    assert!(machine.run().is_err());
    let Ok(state) = machine.store().change(|_| None) else {
        panic!("readable")
    };
    assert_eq!(state.slot(Slot::A).state, State::Trial);
    assert_eq!(machine.esp().names().unwrap(), ["ka+2-1.efi"]);
}

#[test]
fn a_record_that_cannot_be_read_is_an_error_and_not_rewritten() {
    let machine = Machine::new(&["ka+2-1.efi"]);
    fs::write(&machine.facts.disk.slot_state, vec![0; 1 << 20]).unwrap();
    let error = machine.run().unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(RecordError::Unchangeable { .. })),
        "{error:#}"
    );
}
