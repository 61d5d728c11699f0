//! Tables over the cases of a boot decision, and a model of a machine that is cut, damaged and rebooted at random.

use proptest::prelude::*;

use super::*;
use crate::slot_state::decide::mark_good;

const OURS: [u8; 32] = [7; 32];

fn record(state: State, tries: u8) -> SlotRecord {
    SlotRecord {
        state,
        tries,
        root_hash: OURS,
        ..SlotRecord::EMPTY
    }
}

fn attempt(choice: Choice) -> Attempt<'static> {
    Attempt {
        slot: Slot::A,
        root_hash: RootHash(OURS),
        version: "1.0",
        choice,
    }
}

/// `(go or refuse, state of A, tries of A)` after the decision.
fn outcome(a: SlotRecord, b: SlotRecord, choice: Choice) -> (&'static str, State, u8) {
    let state = SlotState::new([a, b]);
    let (verdict, next) = match decide_boot(&state, &attempt(choice)) {
        Boot::Go { write, .. } => ("go", write.unwrap_or(state)),
        Boot::Refuse { write, .. } => ("refuse", write),
    };
    (verdict, next.slot(Slot::A).state, next.slot(Slot::A).tries)
}

#[test]
fn every_state_of_the_booted_slot_has_its_answer() {
    use Choice::{LastResort, Open};
    use State::{Bad, Empty, Good, Trial, Writing};
    let table = [
        // A fresh image: both on trial. Counting down never refuses while nothing is good.
        ((Trial, 3), (Trial, 3), Open, ("go", Trial, 2)),
        ((Trial, 1), (Trial, 3), Open, ("go", Trial, 0)),
        ((Trial, 0), (Trial, 3), Open, ("go", Trial, 0)),
        ((Trial, 0), (Trial, 0), Open, ("go", Trial, 0)),
        // An update on trial beside a good slot.
        ((Trial, 3), (Good, 3), Open, ("go", Trial, 2)),
        ((Trial, 1), (Good, 3), Open, ("go", Trial, 0)),
        ((Trial, 0), (Good, 3), Open, ("refuse", Bad, 0)),
        ((Trial, 0), (Good, 0), Open, ("go", Trial, 0)),
        ((Trial, 0), (Good, 3), LastResort, ("go", Trial, 0)),
        // A good slot is not counted down by booting.
        ((Good, 3), (Trial, 3), Open, ("go", Good, 3)),
        ((Good, 1), (Good, 3), Open, ("go", Good, 1)),
        // It is left when failures took its tries and the other one can boot.
        ((Good, 0), (Good, 3), Open, ("refuse", Bad, 0)),
        ((Good, 0), (Trial, 1), Open, ("refuse", Bad, 0)),
        ((Good, 0), (Trial, 0), Open, ("go", Good, 0)),
        ((Good, 0), (Bad, 0), Open, ("go", Good, 0)),
        ((Good, 0), (Empty, 0), Open, ("go", Good, 0)),
        ((Good, 0), (Writing, 0), Open, ("go", Good, 0)),
        // A bad one is refused again (its entry was not demoted), but never in a circle.
        ((Bad, 0), (Good, 3), Open, ("refuse", Bad, 0)),
        ((Bad, 0), (Good, 3), LastResort, ("go", Bad, 0)),
        ((Bad, 0), (Bad, 0), Open, ("go", Bad, 0)),
        // Cut between entry and record: the slot is complete and gets its trial.
        ((Writing, 0), (Good, 3), Open, ("go", Trial, 2)),
        ((Empty, 0), (Good, 3), Open, ("go", Trial, 2)),
    ];
    for ((a, a_tries), (b, b_tries), choice, expected) in table {
        let found = outcome(record(a, a_tries), record(b, b_tries), choice);
        assert_eq!(found, expected, "{a:?}({a_tries}) beside {b:?}({b_tries}), {choice:?}");
    }
}

#[test]
fn a_release_the_record_does_not_know_is_on_trial_whatever_it_says() {
    for state in [State::Good, State::Bad, State::Trial, State::Writing, State::Empty] {
        let before = SlotRecord {
            root_hash: [1; 32],
            ..record(state, 3)
        };
        let good = record(State::Good, 3);
        assert_eq!(
            outcome(before, good, Choice::Open),
            ("go", State::Trial, 2),
            "{state:?}"
        );
    }
}

#[test]
fn a_good_slot_that_boots_again_writes_nothing() {
    let mut state = SlotState::new([record(State::Good, 3), record(State::Good, 3)]);
    state.last_booted = Some(Slot::A);
    let expected = Boot::Go {
        write: None,
        trial: false,
    };
    assert_eq!(decide_boot(&state, &attempt(Choice::Open)), expected);
    state.last_booted = Some(Slot::B);
    let Boot::Go { write: Some(next), .. } = decide_boot(&state, &attempt(Choice::Open)) else {
        panic!("the slot booted last must be noted");
    };
    assert_eq!((next.last_booted, next.seq), (Some(Slot::A), 2));
}

#[test]
fn an_unreadable_record_gives_both_slots_their_trial() {
    let Boot::Go {
        write: Some(next),
        trial,
    } = decide_boot(&unknown(), &attempt(Choice::Open))
    else {
        panic!("must go on");
    };
    assert!(trial);
    assert_eq!(next.slot(Slot::A).root_hash, OURS);
    assert!(can_boot(next.slot(Slot::B)));
    assert!(!next.any_good());
}

#[test]
fn damage_gives_up_a_trial_at_once_and_a_good_slot_with_its_last_try() {
    let table = [
        ((State::Trial, 2), (State::Bad, 0)),
        ((State::Good, 3), (State::Good, 2)),
        ((State::Good, 2), (State::Good, 1)),
        ((State::Good, 1), (State::Bad, 0)),
        ((State::Good, 0), (State::Bad, 0)),
        ((State::Bad, 0), (State::Bad, 0)),
    ];
    for ((state, tries), expected) in table {
        let before = SlotState::new([record(state, tries), record(State::Trial, 3)]);
        let next = root_failed(&before, Slot::A, Reason::Corruption);
        let slot = next.slot(Slot::A);
        assert_eq!((slot.state, slot.tries), expected);
        assert_eq!(slot.reason, Reason::Corruption);
        assert_eq!(next.seq, 2);
    }
}

#[test]
fn a_trace_is_counted_once_and_against_the_slot_that_ran() {
    let mut state = SlotState::new([record(State::Good, 3), record(State::Good, 3)]);
    state.last_booted = Some(Slot::B);
    let trace = Trace {
        reason: Reason::Panic,
        number: 1_700_000_000,
    };
    let next = count_trace(&state, trace).unwrap();
    assert_eq!((next.slot(Slot::A).tries, next.slot(Slot::B).tries), (3, 2));
    assert_eq!(next.slot(Slot::B).reason, Reason::Panic);
    assert_eq!(count_trace(&next, trace), None);
    let another = Trace { number: 1, ..trace };
    assert_eq!(count_trace(&next, another).unwrap().slot(Slot::B).tries, 1);
}

#[test]
fn a_trace_of_a_trial_takes_no_second_try() {
    let mut state = SlotState::new([record(State::Trial, 2), record(State::Good, 3)]);
    state.last_booted = Some(Slot::A);
    let trace = Trace {
        reason: Reason::Watchdog,
        number: 0,
    };
    let next = count_trace(&state, trace).unwrap();
    assert_eq!(next.slot(Slot::A).tries, 2);
    assert_eq!(next.slot(Slot::A).reason, Reason::Watchdog);
}

/// What happens to a boot of the model.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Completes,
    PowerCut,
    Panics,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Completes), Just(Fate::PowerCut), Just(Fate::Panics)]
}

/// The loader of the design: entries that are not demoted first, then the slot that sorts first.
fn choose(demoted: [bool; 2], prefer: Slot) -> (Slot, Choice) {
    let other = prefer.other();
    match (demoted[prefer.index()], demoted[other.index()]) {
        (false, _) => (prefer, Choice::Open),
        (true, false) => (other, Choice::Open),
        (true, true) => (prefer, Choice::LastResort),
    }
}

struct Machine {
    state: SlotState,
    demoted: [bool; 2],
    sound: [bool; 2],
    trace: u64,
    traced: bool,
}

impl Machine {
    /// One boot; the slot it ended in if it reached the root.
    fn boot(&mut self, fate: Fate) -> Option<Slot> {
        let (slot, choice) = choose(self.demoted, Slot::A);
        if std::mem::take(&mut self.traced) {
            let trace = Trace {
                reason: Reason::Panic,
                number: self.trace,
            };
            self.state = count_trace(&self.state, trace).unwrap_or(self.state.clone());
        }
        let attempt = Attempt {
            slot,
            ..attempt(choice)
        };
        match decide_boot(&self.state, &attempt) {
            Boot::Refuse { write, .. } => {
                self.state = write;
                self.demoted[slot.index()] = true;
                return None;
            }
            Boot::Go { write, .. } => self.state = write.unwrap_or(self.state.clone()),
        }
        if !self.sound[slot.index()] {
            self.state = root_failed(&self.state, slot, Reason::Corruption);
            self.demoted[slot.index()] |= self.state.slot(slot).state == State::Bad;
            return None;
        }
        match fate {
            Fate::PowerCut => {}
            Fate::Panics => {
                self.trace += 1;
                self.traced = true;
            }
            Fate::Completes => self.state = mark_good(&self.state, slot, 3).unwrap_or(self.state.clone()),
        }
        Some(slot)
    }
}

proptest! {
    /// Whatever happened before, a machine with one sound slot reaches a root without a person.
    #[test]
    fn some_slot_that_verifies_boots(
        states in proptest::array::uniform2((0..5u8, 0..4u8)),
        sound_a in any::<bool>(),
        fates in proptest::collection::vec(fate(), 0..12),
    ) {
        let states = states.map(|(state, tries)| {
            record([State::Empty, State::Writing, State::Trial, State::Good, State::Bad][state as usize], tries)
        });
        let mut machine = Machine {
            state: SlotState::new(states),
            demoted: [false; 2],
            sound: [sound_a, !sound_a],
            trace: 0,
            traced: false,
        };
        for fate in fates {
            machine.boot(fate);
        }
        let reached = (0..8).any(|_| machine.boot(Fate::Completes).is_some());
        prop_assert!(reached, "{:?} {:?}", machine.state, machine.demoted);
    }

    /// Lost power alone never takes a try from a good slot and never changes the slot of a healthy machine.
    #[test]
    fn power_cuts_alone_move_nothing(cuts in 0..20usize) {
        let mut machine = Machine {
            state: SlotState::new([record(State::Good, 3), record(State::Trial, 3)]),
            demoted: [false; 2],
            sound: [true; 2],
            trace: 0,
            traced: false,
        };
        for _ in 0..cuts {
            prop_assert_eq!(machine.boot(Fate::PowerCut), Some(Slot::A));
        }
        prop_assert_eq!(machine.state.slot(Slot::A).tries, 3);
    }

    /// Nothing but reaching `boot-complete` makes a slot good.
    #[test]
    fn an_untested_slot_is_never_good(fates in proptest::collection::vec(fate(), 0..20)) {
        let mut machine = Machine {
            state: SlotState::new([record(State::Trial, 3), record(State::Trial, 3)]),
            demoted: [false; 2],
            sound: [true; 2],
            trace: 0,
            traced: false,
        };
        let mut completed = [false; 2];
        for fate in fates {
            let slot = machine.boot(fate);
            if let (Some(slot), Fate::Completes) = (slot, fate) {
                completed[slot.index()] = true;
            }
            for slot in Slot::ALL {
                let good = machine.state.slot(slot).state == State::Good;
                prop_assert!(!good || completed[slot.index()]);
            }
        }
    }
}
