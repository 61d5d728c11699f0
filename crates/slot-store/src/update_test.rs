//! A slot update on files in place of partitions: cut after each step, at which something must boot, and taken up
//! again.

use std::fs;
use std::path::Path;

use keelson_image_layout::hash_tree::hash_tree;
use keelson_image_layout::slot_state::boot::{Attempt, Boot, Choice, decide_boot};
use keelson_image_layout::slot_state::decide::successor;
use keelson_image_layout::{Reason, RootHash, SlotRecord, State};

use super::*;
use crate::entry_release::tests::entry_of;

const SEGMENT: usize = 64 << 10;
const OLD: RootHash = RootHash([1; 32]);

struct Machine {
    directory: tempfile::TempDir,
    root: Vec<u8>,
    release: Release,
    entry: Vec<u8>,
    fetched: usize,
}

impl Machine {
    /// Slot A runs and is good; B holds the same old release on trial.
    fn new() -> Machine {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        fs::create_dir_all(at.join("esp/EFI/Linux")).unwrap();
        fs::write(at.join("esp/EFI/Linux/ka.efi"), "old").unwrap();
        fs::write(at.join("esp/EFI/Linux/kb+3-0.efi"), "old").unwrap();
        for (name, bytes) in [("record", 1 << 20), ("root", 1 << 20), ("tree", 64 << 10)] {
            fs::File::create(at.join(name)).unwrap().set_len(bytes).unwrap();
        }
        let record = |state| SlotRecord {
            state,
            tries: 3,
            root_hash: OLD.0,
            ..SlotRecord::EMPTY
        };
        let state = SlotState::new([record(State::Good), record(State::Trial)]);
        RecordStore::open(&at.join("record")).unwrap().write(&state, 0).unwrap();
        let root: Vec<u8> = (0..5 * SEGMENT).map(|index| (index * 31 / 7) as u8).collect();
        let release = Release {
            format: 1,
            version: "2".to_owned(),
            kernel: "6".to_owned(),
            time: 0,
            verity: hash_tree(&mut root.as_slice(), [5; 32]).unwrap().params,
        };
        Machine {
            entry: entry_of(&release),
            directory,
            root,
            release,
            fetched: 0,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn update(&self) -> SlotUpdate {
        let places = Places {
            record: self.at("record"),
            esp: self.at("esp"),
            root: self.at("root"),
            tree: self.at("tree"),
        };
        let running = Running {
            slot: Slot::A,
            root_hash: OLD,
        };
        SlotUpdate::new(places, running, &self.release, Sha256::digest(&self.entry).into())
    }

    /// The whole way, as the agent goes it; `watch` is asked after each piece, too.
    fn run(&mut self, watch: Watch<'_>) -> Result<(), UpdateError> {
        let update = self.update();
        update.check_room(self.entry.len() as u64)?;
        let writer = match update.begin(watch)? {
            Begun::Staged => return Ok(()),
            Begun::Write(writer) => writer,
        };
        for (index, piece) in self.root.chunks(SEGMENT).enumerate() {
            let at = (index * SEGMENT) as u64;
            if !writer.holds(at, piece.len() as u64, &Sha256::digest(piece).into()) {
                self.fetched += 1;
                writer.write(at, piece)?;
                watch(Point::RootFlushed).map_err(UpdateError::Stopped)?;
            }
        }
        let sealed = writer.seal(watch)?;
        let entry = update.open_entry(self.entry.len() as u64)?;
        for (index, piece) in self.entry.chunks(SEGMENT).enumerate() {
            let at = (index * SEGMENT) as u64;
            if !entry.holds(at, piece.len() as u64, &Sha256::digest(piece).into()) {
                self.fetched += 1;
                entry.write(at, piece)?;
                watch(Point::EntryFlushed).map_err(UpdateError::Stopped)?;
            }
        }
        entry.publish(&sealed, watch)
    }

    fn record(&self) -> SlotState {
        RecordStore::open(&self.at("record")).unwrap().change(|_| None).unwrap()
    }

    fn names(&self) -> Vec<String> {
        Esp::at(&self.at("esp")).unwrap().names().unwrap()
    }

    /// What must hold whenever the power goes: the running slot's entry and record are as they were, and an entry of
    /// the other slot that a loader sees is whole, over a root that is whole.
    fn assert_bootable(&self) {
        let names = self.names();
        assert!(names.contains(&"ka.efi".to_owned()), "{names:?}");
        let state = self.record();
        assert_eq!(
            (state.slot(Slot::A).state, state.slot(Slot::A).root_hash),
            (State::Good, OLD.0)
        );
        let Some(name) = names.iter().find(|name| belongs_to(name, Slot::B)) else {
            return;
        };
        assert!(EntryName::parse(name).unwrap().counter.is_some(), "{names:?}");
        let content = fs::read(self.at("esp/EFI/Linux").join(name)).unwrap();
        if content == b"old" {
            let untouched = fs::read(self.at("root")).unwrap().iter().all(|byte| *byte == 0);
            assert!(untouched, "a stale entry over a root that was written");
            return;
        }
        assert_eq!(content, self.entry);
        let root = fs::read(self.at("root")).unwrap();
        assert!(root.starts_with(&self.root), "a visible entry over an incomplete root");
        // The initramfs gives it its trial, whether the record got that far or not.
        let attempt = Attempt {
            slot: Slot::B,
            root_hash: self.release.verity.root_hash,
            version: "2",
            choice: Choice::Open,
        };
        let Boot::Go { trial: true, .. } = decide_boot(&state, &attempt) else {
            panic!("a complete slot gets its trial")
        };
    }

    fn assert_staged(&self) {
        self.assert_bootable();
        assert_eq!(self.names(), ["ka.efi", "kb+3-0.efi"]);
        let state = self.record();
        let slot = state.slot(Slot::B);
        assert_eq!((slot.state, slot.tries), (State::Trial, FRESH_TRIES));
        assert_eq!(slot.root_hash, self.release.verity.root_hash.0);
        assert_eq!(slot.uki_sha256, <[u8; 32]>::from(Sha256::digest(&self.entry)));
        let tree = fs::read(self.at("tree")).unwrap();
        let expected = hash_tree(&mut self.root.as_slice(), [5; 32]).unwrap();
        assert!(tree.starts_with(&expected.bytes));
    }
}

fn power_cut() -> io::Error {
    io::Error::other("power cut")
}

/// Goes on for `steps` steps; `true` if the update got to its end.
fn cut_after(machine: &mut Machine, steps: usize) -> bool {
    let mut left = steps;
    let run = machine.run(&mut |_| match left {
        0 => Err(power_cut()),
        _ => {
            left -= 1;
            Ok(())
        }
    });
    match run {
        Ok(()) => true,
        Err(UpdateError::Stopped(_) | UpdateError::Root(RootError::Stopped(_))) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn after_a_cut_at_any_step_something_boots_and_the_update_goes_on_from_there() {
    let mut whole = Machine::new();
    assert!(cut_after(&mut whole, usize::MAX));
    whole.assert_staged();
    let pieces = whole.fetched;
    for steps in 0.. {
        let mut machine = Machine::new();
        let finished = cut_after(&mut machine, steps);
        machine.assert_bootable();
        assert!(cut_after(&mut machine, usize::MAX), "taken up after {steps} steps");
        machine.assert_staged();
        assert_eq!(
            machine.fetched, pieces,
            "nothing is fetched twice, cut after {steps} steps"
        );
        assert_eq!(machine.update().plan().unwrap(), Resume::Staged);
        if finished {
            assert!(steps > 12, "{steps}");
            return;
        }
    }
}

#[test]
fn two_cuts_in_a_row_are_survived_too() {
    for first in 0..16 {
        for second in [0, 3, 7] {
            let mut machine = Machine::new();
            cut_after(&mut machine, first);
            cut_after(&mut machine, second);
            machine.assert_bootable();
            assert!(cut_after(&mut machine, usize::MAX));
            machine.assert_staged();
        }
    }
}

#[test]
fn another_release_takes_the_place_of_one_that_was_cut() {
    for steps in 0..16 {
        let mut machine = Machine::new();
        cut_after(&mut machine, steps);
        machine.root.reverse();
        machine.release.verity = hash_tree(&mut machine.root.as_slice(), [5; 32]).unwrap().params;
        machine.entry = entry_of(&machine.release);
        let stopped = machine.run(&mut |point| match point {
            Point::RootReadBack => Err(power_cut()),
            _ => Ok(()),
        });
        assert!(stopped.is_err());
        let visible = machine.names().iter().any(|name| belongs_to(name, Slot::B));
        assert!(!visible, "the entry of the first release is gone before its root is");
        assert!(cut_after(&mut machine, usize::MAX));
        machine.assert_staged();
    }
}

#[test]
fn a_root_that_does_not_read_back_never_gets_an_entry() {
    let mut machine = Machine::new();
    let at = machine.at("root");
    let damaged = machine.run(&mut |point| {
        if point == Point::RootFlushed {
            fs::File::options()
                .write(true)
                .open(&at)?
                .write_all_at(b"rotten", 70_000)?;
        }
        Ok(())
    });
    assert!(
        matches!(damaged, Err(UpdateError::Root(RootError::Mismatch { .. }))),
        "{damaged:?}"
    );
    assert_eq!(machine.names(), ["ka.efi"]);
    assert_eq!(machine.record().slot(Slot::B).state, State::Writing);
    assert!(
        cut_after(&mut machine, usize::MAX),
        "the damaged piece alone is fetched again"
    );
    machine.assert_staged();
}

#[test]
fn an_entry_that_does_not_read_back_is_never_seen() {
    let mut machine = Machine::new();
    let at = machine.at("esp/EFI/Linux/kb.new");
    let damaged = machine.run(&mut |point| {
        if point == Point::EntryFlushed {
            fs::File::options()
                .write(true)
                .open(&at)?
                .write_all_at(b"rotten", 700)?;
        }
        Ok(())
    });
    assert!(matches!(damaged, Err(UpdateError::Digest)), "{damaged:?}");
    assert_eq!(machine.names(), ["ka.efi", "kb.new"]);
    assert!(cut_after(&mut machine, usize::MAX));
    machine.assert_staged();
}

#[test]
fn an_entry_of_another_root_is_never_seen() {
    let mut machine = Machine::new();
    let other = Release {
        verity: VerityParams {
            root_hash: OLD,
            ..machine.release.verity.clone()
        },
        ..machine.release.clone()
    };
    machine.entry = entry_of(&other);
    let refused = machine.run(&mut |_| Ok(()));
    assert!(matches!(refused, Err(UpdateError::OtherRelease { .. })), "{refused:?}");
    assert_eq!(machine.names(), ["ka.efi", "kb.new"]);
    assert_eq!(machine.record().slot(Slot::B).state, State::Writing);
}

#[test]
fn nothing_is_touched_while_the_running_slot_is_not_committed() {
    let mut machine = Machine::new();
    let store = RecordStore::open(&machine.at("record")).unwrap();
    let trial = |state: &SlotState| {
        let mut next = successor(state);
        next.slot_mut(Slot::A).state = State::Trial;
        Some(next)
    };
    let before = store.change(trial).unwrap();
    drop(store);
    let refused = machine.run(&mut |_| Ok(()));
    assert!(matches!(refused, Err(UpdateError::Obstacle(_))), "{refused:?}");
    assert_eq!(machine.record(), before);
    assert_eq!(machine.names(), ["ka.efi", "kb+3-0.efi"]);
}

#[test]
fn a_release_that_failed_is_not_written_again() {
    let mut machine = Machine::new();
    assert!(cut_after(&mut machine, usize::MAX));
    let store = RecordStore::open(&machine.at("record")).unwrap();
    let failed = |state: &SlotState| {
        let mut next = successor(state);
        next.slot_mut(Slot::B).state = State::Bad;
        next.slot_mut(Slot::B).reason = Reason::Health;
        Some(next)
    };
    store.change(failed).unwrap();
    drop(store);
    let refused = machine.run(&mut |_| Ok(())).unwrap_err();
    assert!(
        refused.to_string().contains("given up on this machine before: Health"),
        "{refused}"
    );
}

#[test]
fn a_release_that_does_not_fit_its_partition_is_refused_before_anything_is_written() {
    let mut machine = Machine::new();
    fs::File::options()
        .write(true)
        .open(machine.at("root"))
        .unwrap()
        .set_len(4096)
        .unwrap();
    let record = fs::read(machine.at("record")).unwrap();
    let refused = machine.run(&mut |_| Ok(()));
    assert!(matches!(
        refused,
        Err(UpdateError::Root(RootError::TooLarge { room: 4096, .. }))
    ));
    for entry in ["ka.efi", "kb+3-0.efi"] {
        assert!(Path::new(&machine.at("esp/EFI/Linux")).join(entry).exists(), "{entry}");
    }
    assert_eq!(
        fs::read(machine.at("record")).unwrap(),
        record,
        "the other release stays"
    );
}
