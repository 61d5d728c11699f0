//! Committing on files in place of partitions, cut and repeated.

use std::fs;
use std::path::PathBuf;

use keelson_image_layout::slot_state::boot::{Attempt, Boot, Choice, decide_boot, unknown};
use keelson_image_layout::verity::VerityParams;
use keelson_image_layout::{Release, RootHash, SlotFacts, State, facts};
use keelson_slot_store::record::RecordError;

use super::*;
use crate::health;
use crate::leave::roll_back;

struct TestMachine {
    directory: tempfile::TempDir,
    facts: BootFacts,
}

impl TestMachine {
    /// Slot A was booted on trial; `names` are the entries on the ESP.
    fn new(names: &[&str]) -> TestMachine {
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
            rejected: Vec::new(),
            secure_boot: keelson_image_layout::SecureBoot::default(),
            milestones: Vec::new(),
        };
        TestMachine { directory, facts }
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
    let machine = TestMachine::new(&["ka+2-1.efi", "kb+3-0.efi"]);
    let state = machine.run().unwrap();
    assert_eq!((state.slot(Slot::A).state, state.slot(Slot::A).tries), (State::Good, 3));
    assert_eq!(state.slot(Slot::B).state, State::Trial);
    assert_eq!(machine.esp().names().unwrap(), ["ka.efi", "kb+3-0.efi"]);
    assert_eq!(machine.run().unwrap(), state, "a second run changes nothing");
}

#[test]
fn a_cut_between_record_and_name_is_finished_by_the_next_run() {
    let machine = TestMachine::new(&["ka+2-1.efi", "kb+3-0.efi"]);
    commit(&machine.store(), &machine.facts).unwrap();
    assert_eq!(machine.esp().names().unwrap(), ["ka+2-1.efi", "kb+3-0.efi"]);
    machine.run().unwrap();
    assert_eq!(machine.esp().names().unwrap(), ["ka.efi", "kb+3-0.efi"]);
}

#[test]
fn a_lost_counter_of_the_other_slot_is_put_back() {
    let machine = TestMachine::new(&["ka+2-1.efi", "kb.efi"]);
    machine.run().unwrap();
    assert_eq!(machine.esp().names().unwrap(), ["ka.efi", "kb+3-0.efi"]);
}

#[test]
fn a_slot_given_up_stays_behind() {
    let machine = TestMachine::new(&["ka+2-1.efi", "kb.efi"]);
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
    let mut machine = TestMachine::new(&["ka+2-1.efi"]);
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
    let machine = TestMachine::new(&["ka+2-1.efi"]);
    fs::write(&machine.facts.disk.slot_state, vec![0; 1 << 20]).unwrap();
    let error = machine.run().unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(RecordError::Unchangeable { .. })),
        "{error:#}"
    );
}

/// Slot A is an update on trial beside the good slot B, as its boot found it.
fn on_trial() -> TestMachine {
    let mut machine = TestMachine::new(&["ka+2-1.efi", "kb.efi"]);
    let state = machine
        .store()
        .change(|state| {
            let mut next = decide::successor(state);
            next.slot_mut(Slot::B).state = State::Good;
            next.slot_mut(Slot::B).root_hash = [9; 32];
            Some(next)
        })
        .unwrap();
    machine.facts.slots = Some(SlotFacts::of(&state));
    machine.facts.disk.esp = machine.directory.path().join("esp").display().to_string();
    machine
}

/// A machine nobody answers on.
fn silent(machine: &TestMachine) -> health::Machine {
    let at = |name: &str| machine.directory.path().join(name);
    health::Machine {
        control: at("control"),
        engine: at("engine"),
        config: at("machine.json"),
    }
}

fn asks_for_no_time(machine: &TestMachine) {
    let config = "{\"schema\":1,\"update\":{\"health-for\":\"0s\",\"health-within\":\"0s\"}}";
    fs::write(machine.directory.path().join("machine.json"), config).unwrap();
}

#[test]
fn an_update_that_is_not_well_in_time_is_given_up_and_left() {
    let machine = on_trial();
    asks_for_no_time(&machine);
    for attempt in 0..2 {
        // PID 1 does not answer: that is what is not well, and why the reboot has to be asked for again.
        let error = format!("{:#}", run(&machine.facts, &silent(&machine)).unwrap_err());
        assert!(
            error.starts_with("ask PID 1 for a reboot"),
            "attempt {attempt}: {error}"
        );
        let state = machine.store().change(|_| None).unwrap();
        let slot = state.slot(Slot::A);
        assert_eq!((slot.state, slot.tries, slot.reason), (State::Bad, 0, Reason::Health));
        assert_eq!(machine.esp().names().unwrap(), ["ka+0-3.efi", "kb.efi"]);
    }
}

#[test]
fn a_slot_given_up_that_the_loader_takes_all_the_same_is_not_left_in_a_circle() {
    let mut machine = on_trial();
    asks_for_no_time(&machine);
    run(&machine.facts, &silent(&machine)).unwrap_err();
    machine.facts.slots = Some(SlotFacts::of(&machine.store().change(|_| None).unwrap()));
    let error = run(&machine.facts, &silent(&machine)).unwrap_err().to_string();
    assert!(error.contains("the loader found nothing better"), "{error}");
}

#[test]
fn a_fresh_machine_is_committed_without_asking_anybody() {
    let mut machine = TestMachine::new(&["ka+2-1.efi", "kb+3-0.efi"]);
    machine.facts.disk.esp = machine.directory.path().join("esp").display().to_string();
    let said = run(&machine.facts, &silent(&machine)).unwrap();
    assert_eq!(said, "keelson: committed slot=a version=1\n");
    assert_eq!(machine.esp().names().unwrap(), ["ka.efi", "kb+3-0.efi"]);
}

#[test]
fn an_operator_goes_back_to_a_good_slot_and_to_no_other() {
    let machine = on_trial();
    let error = format!("{:#}", roll_back(&machine.facts, &silent(&machine)).unwrap_err());
    assert!(error.starts_with("ask PID 1 for a reboot"), "{error}");
    let state = machine.store().change(|_| None).unwrap();
    assert_eq!(state.slot(Slot::A).reason, Reason::Replaced);
    assert_eq!(machine.esp().names().unwrap(), ["ka+0-3.efi", "kb.efi"]);
    // A fresh image has nothing to go back to.
    let mut fresh = TestMachine::new(&["ka+2-1.efi", "kb+3-0.efi"]);
    fresh.facts.disk.esp = fresh.directory.path().join("esp").display().to_string();
    let error = roll_back(&fresh.facts, &silent(&fresh)).unwrap_err().to_string();
    assert!(error.contains("slot b cannot be gone back to"), "{error}");
    assert_eq!(fresh.esp().names().unwrap(), ["ka+2-1.efi", "kb+3-0.efi"]);
}
