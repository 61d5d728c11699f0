//! What an update may do to the record, as decisions without I/O: begin writing the other slot, put it on trial, give a
//! slot up. Whoever carries them out writes the record before it acts on it.
//!
//! ```text
//!   good (running)     the other one: any ──begin──▶ writing ──put_on_trial──▶ trial ──boot, health──▶ good
//!                                                                                └──give_up──▶ bad
//! ```

use thiserror::Error;

use super::decide::successor;
use super::{Reason, SlotRecord, SlotState, State};
use crate::boot_entry::FRESH_TRIES;
use crate::slot::Slot;
use crate::verity::RootHash;

/// A release that is to be written, as its signed description says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its version.
    pub version: String,
    /// Root hash of its root.
    pub root_hash: RootHash,
    /// SHA-256 of its boot entry's file.
    pub entry_sha256: [u8; 32],
}

/// The release that runs, from its own boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// The slot it was started from.
    pub slot: Slot,
    /// Its root.
    pub root_hash: RootHash,
}

/// Why the record does not allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The running release has not proven itself, so the other slot is still needed as it is.
    #[error("the running slot {slot} is not committed yet")]
    NotCommitted {
        /// The running slot.
        slot: Slot,
    },
    /// It is the one that runs.
    #[error("this release is running already")]
    Running,
    /// It failed on this machine before.
    #[error("this release was given up on this machine before: {reason:?}")]
    Rejected {
        /// What for.
        reason: Reason,
    },
    /// The record of the slot speaks of something else: another writer came in between.
    #[error("the record of slot {slot} does not belong to this update any more")]
    Changed {
        /// The slot.
        slot: Slot,
    },
    /// The other slot is not known to work.
    #[error("slot {slot} cannot be gone back to: it is not good, or has no try left")]
    NoFallback {
        /// The other slot.
        slot: Slot,
    },
}

/// Whether `wanted` may be written into the slot that does not run.
///
/// # Errors
/// [`Refusal::NotCommitted`], [`Refusal::Running`], [`Refusal::Rejected`].
pub fn may_write(state: &SlotState, running: &Running, wanted: &Wanted) -> Result<(), Refusal> {
    let record = state.slot(running.slot);
    if wanted.root_hash == running.root_hash {
        return Err(Refusal::Running);
    }
    if record.state != State::Good || record.root_hash != running.root_hash.0 {
        return Err(Refusal::NotCommitted { slot: running.slot });
    }
    match state.rejection(&wanted.root_hash) {
        Some(reason) => Err(Refusal::Rejected { reason }),
        None => Ok(()),
    }
}

/// The record before the first byte of the other slot is written; `None` when it says so already.
///
/// # Errors
/// As [`may_write`].
pub fn begin(state: &SlotState, running: &Running, wanted: &Wanted) -> Result<Option<SlotState>, Refusal> {
    may_write(state, running, wanted)?;
    let slot = running.slot.other();
    let record = of(wanted, State::Writing, 0);
    if *state.slot(slot) == record {
        return Ok(None);
    }
    let mut next = successor(state);
    next.remember_rejected(slot);
    *next.slot_mut(slot) = record;
    Ok(Some(next))
}

/// The record once the other slot is complete and its entry visible; `None` when it says so already.
///
/// # Errors
/// [`Refusal::Changed`] unless the record says that this very release is being written.
pub fn put_on_trial(state: &SlotState, running: &Running, wanted: &Wanted) -> Result<Option<SlotState>, Refusal> {
    let slot = running.slot.other();
    let record = state.slot(slot);
    if record.root_hash != wanted.root_hash.0 {
        return Err(Refusal::Changed { slot });
    }
    match record.state {
        State::Trial => Ok(None),
        State::Writing => {
            let mut next = successor(state);
            *next.slot_mut(slot) = of(wanted, State::Trial, FRESH_TRIES);
            Ok(Some(next))
        }
        State::Empty | State::Good | State::Bad => Err(Refusal::Changed { slot }),
    }
}

/// The record after the running slot was given up, for its failed health or on an operator's wish; `None` when it says
/// so already.
///
/// # Errors
/// [`Refusal::NoFallback`] unless the other slot is good and may still be booted: nothing is given up for nothing.
pub fn give_up(state: &SlotState, slot: Slot, reason: Reason) -> Result<Option<SlotState>, Refusal> {
    if !has_fallback(state, slot) {
        return Err(Refusal::NoFallback { slot: slot.other() });
    }
    let record = state.slot(slot);
    if record.state == State::Bad {
        return Ok(None);
    }
    let mut next = successor(state);
    let record = next.slot_mut(slot);
    (record.state, record.tries, record.reason) = (State::Bad, 0, reason);
    Ok(Some(next))
}

/// The record after the release that waits in the other slot was found never to come up; `None` if none waits there.
#[must_use]
pub fn forget_staged(state: &SlotState, running: Slot) -> Option<SlotState> {
    let slot = running.other();
    let record = state.slot(slot);
    if state.slot(running).state != State::Good || record.state != State::Trial {
        return None;
    }
    let mut next = successor(state);
    let record = next.slot_mut(slot);
    (record.state, record.tries, record.reason) = (State::Bad, 0, Reason::Tries);
    Some(next)
}

/// Whether there is a proven slot to go back to from `slot`.
#[must_use]
pub fn has_fallback(state: &SlotState, slot: Slot) -> bool {
    let other = state.slot(slot.other());
    other.state == State::Good && other.tries > 0
}

fn of(wanted: &Wanted, state: State, tries: u8) -> SlotRecord {
    SlotRecord {
        state,
        tries,
        version: SlotRecord::version_bytes(&wanted.version),
        root_hash: wanted.root_hash.0,
        uki_sha256: wanted.entry_sha256,
        ..SlotRecord::EMPTY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: RootHash = RootHash([1; 32]);
    const NEW: RootHash = RootHash([2; 32]);
    const RUNNING: Running = Running {
        slot: Slot::A,
        root_hash: OLD,
    };

    fn wanted() -> Wanted {
        Wanted {
            version: "2".to_owned(),
            root_hash: NEW,
            entry_sha256: [9; 32],
        }
    }

    fn record(state: State, root_hash: RootHash) -> SlotRecord {
        SlotRecord {
            state,
            tries: 3,
            root_hash: root_hash.0,
            ..SlotRecord::EMPTY
        }
    }

    #[test]
    fn a_release_that_never_came_up_is_given_up_by_the_one_that_runs() {
        let state = SlotState::new([record(State::Good, OLD), record(State::Trial, NEW)]);
        let next = forget_staged(&state, Slot::A).map(|state| state.slot(Slot::B).clone());
        let next = next.map(|record| (record.state, record.tries, record.reason));
        assert_eq!(next, Some((State::Bad, 0, Reason::Tries)));
        for (own, other) in [(State::Trial, State::Trial), (State::Good, State::Writing)] {
            let state = SlotState::new([record(own, OLD), record(other, NEW)]);
            assert_eq!(forget_staged(&state, Slot::A), None);
        }
    }

    #[test]
    fn only_a_committed_slot_lets_the_other_be_written() {
        for (state, allowed) in [
            (State::Good, true),
            (State::Trial, false),
            (State::Bad, false),
            (State::Empty, false),
        ] {
            let before = SlotState::new([record(state, OLD), record(State::Trial, OLD)]);
            let answer = begin(&before, &RUNNING, &wanted());
            assert_eq!(answer.is_ok(), allowed, "{state:?}");
        }
        let of_another = SlotState::new([record(State::Good, RootHash([7; 32])), SlotRecord::EMPTY]);
        let answer = begin(&of_another, &RUNNING, &wanted());
        assert_eq!(answer, Err(Refusal::NotCommitted { slot: Slot::A }));
    }

    #[test]
    fn the_running_release_is_never_written_and_the_running_record_never_changed() {
        let before = SlotState::new([record(State::Good, OLD), record(State::Good, NEW)]);
        let same = Wanted {
            root_hash: OLD,
            ..wanted()
        };
        assert_eq!(begin(&before, &RUNNING, &same), Err(Refusal::Running));
        let next = begin(&before, &RUNNING, &wanted()).unwrap().unwrap();
        assert_eq!(next.slot(Slot::A), before.slot(Slot::A));
        assert_eq!(next.slot(Slot::B).state, State::Writing);
        assert_eq!(
            begin(&next, &RUNNING, &wanted()),
            Ok(None),
            "a second time changes nothing"
        );
    }

    #[test]
    fn a_release_given_up_is_refused_even_after_it_was_overwritten() {
        let mut before = SlotState::new([record(State::Good, OLD), record(State::Bad, NEW)]);
        before.slot_mut(Slot::B).reason = Reason::Health;
        let rejected = Err(Refusal::Rejected { reason: Reason::Health });
        assert_eq!(begin(&before, &RUNNING, &wanted()), rejected);
        let third = Wanted {
            root_hash: RootHash([3; 32]),
            ..wanted()
        };
        let next = begin(&before, &RUNNING, &third).unwrap().unwrap();
        assert_eq!(begin(&next, &RUNNING, &wanted()), rejected);
        assert_eq!(next.rejected.len(), 1);
    }

    #[test]
    fn the_newest_failures_are_remembered() {
        let mut state = SlotState::new([record(State::Good, OLD), SlotRecord::EMPTY]);
        for number in 10..40 {
            *state.slot_mut(Slot::B) = record(State::Bad, RootHash([number; 32]));
            state = begin(&state, &RUNNING, &wanted()).unwrap().unwrap();
        }
        assert_eq!(state.rejected.len(), super::super::MOST_REJECTED);
        assert!(state.rejection(&RootHash([39; 32])).is_some());
        assert!(state.rejection(&RootHash([10; 32])).is_none());
    }

    #[test]
    fn a_trial_begins_only_with_the_release_that_was_written() {
        let good = record(State::Good, OLD);
        let writing = begin(&SlotState::new([good.clone(), SlotRecord::EMPTY]), &RUNNING, &wanted());
        let writing = writing.unwrap().unwrap();
        let next = put_on_trial(&writing, &RUNNING, &wanted()).unwrap().unwrap();
        let slot = next.slot(Slot::B);
        assert_eq!(
            (slot.state, slot.tries, slot.uki_sha256),
            (State::Trial, FRESH_TRIES, [9; 32])
        );
        assert_eq!(put_on_trial(&next, &RUNNING, &wanted()), Ok(None));
        for other in [record(State::Writing, OLD), record(State::Bad, NEW), SlotRecord::EMPTY] {
            let state = SlotState::new([good.clone(), other]);
            let answer = put_on_trial(&state, &RUNNING, &wanted());
            assert_eq!(answer, Err(Refusal::Changed { slot: Slot::B }));
        }
    }

    #[test]
    fn nothing_is_given_up_without_something_to_go_back_to() {
        let trial = record(State::Trial, OLD);
        for (other, allowed) in [
            (record(State::Good, NEW), true),
            (
                SlotRecord {
                    tries: 0,
                    ..record(State::Good, NEW)
                },
                false,
            ),
            (record(State::Trial, NEW), false),
            (record(State::Writing, NEW), false),
            (SlotRecord::EMPTY, false),
        ] {
            let state = SlotState::new([trial.clone(), other]);
            let answer = give_up(&state, Slot::A, Reason::Health);
            assert_eq!(answer.is_ok(), allowed, "{state:?}");
            if let Ok(Some(next)) = answer {
                assert_eq!(next.rejection(&OLD), Some(Reason::Health));
                assert_eq!(give_up(&next, Slot::A, Reason::Replaced), Ok(None));
            }
        }
    }
}
