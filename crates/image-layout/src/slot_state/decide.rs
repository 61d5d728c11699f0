//! Changes of the record, as decisions without I/O. The caller writes the result before it acts on it.

use crate::slot::Slot;

use super::{Reason, SlotState, State};

/// A copy of the record with the next sequence number, ready to be changed and written.
#[must_use]
pub fn successor(state: &SlotState) -> SlotState {
    SlotState {
        seq: state.seq.wrapping_add(1),
        ..state.clone()
    }
}

/// The record after a slot reached `boot-complete`; `None` when it says so already. A good slot that lost tries keeps
/// what is left: reaching `boot-complete` again does not undo a failure that comes after it.
#[must_use]
pub fn mark_good(state: &SlotState, slot: Slot, tries: u8) -> Option<SlotState> {
    let current = state.slot(slot);
    if current.state == State::Good {
        return None;
    }
    let mut next = successor(state);
    let record = next.slot_mut(slot);
    record.state = State::Good;
    record.tries = tries;
    record.reason = Reason::None;
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot_state::SlotRecord;

    #[test]
    fn marking_good_twice_writes_once() {
        let trial = SlotRecord {
            state: State::Trial,
            tries: 1,
            ..SlotRecord::EMPTY
        };
        let state = SlotState::new([trial.clone(), trial]);
        let marked = mark_good(&state, Slot::B, 3);
        let marked = marked.as_ref();
        assert_eq!(
            marked.map(|state| (state.seq, state.slot(Slot::B).state)),
            Some((2, State::Good))
        );
        assert_eq!(marked.map(|state| state.slot(Slot::A).state), Some(State::Trial));
        assert_eq!(marked.and_then(|state| mark_good(state, Slot::B, 3)), None);
    }

    #[test]
    fn a_good_slot_does_not_get_its_tries_back_by_booting() {
        let failed = SlotRecord {
            state: State::Good,
            tries: 1,
            reason: Reason::Corruption,
            ..SlotRecord::EMPTY
        };
        assert_eq!(
            mark_good(&SlotState::new([failed, SlotRecord::EMPTY]), Slot::A, 3),
            None
        );
    }
}
