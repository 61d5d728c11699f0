//! What the end of a boot asks for, by the record: commit, look first, or leave. Pure.
//!
//! ```text
//! running slot   other slot                       then
//! good           any                              commit (nothing changes)
//! trial          good, another release            look: health for a time, within a time, else go back
//! trial          good, the same release           commit: there is nothing better
//! trial          not good                         commit; with probes, when all is well for the first time
//! bad            good, another release            leave: going back was cut
//! bad            anything else                    commit: it is the last resort, and it works
//! ```

use std::time::Duration;

use keelson_image_layout::slot_state::update::has_fallback;
use keelson_image_layout::{Slot, SlotState, State};
use keelson_machine_config::Update;

use crate::health::Policy;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Commit at once.
    Commit,
    /// Commit once the machine is well, by this policy.
    Look(Policy),
    /// Go back to the other slot.
    Leave,
}

/// Decides.
#[must_use]
pub fn decide_task(state: &SlotState, running: Slot, update: &Update) -> Task {
    let (record, other) = (state.slot(running), state.slot(running.other()));
    let better = has_fallback(state, running) && other.root_hash != record.root_hash;
    match record.state {
        State::Good => Task::Commit,
        State::Bad if better => Task::Leave,
        State::Bad => Task::Commit,
        State::Trial | State::Empty | State::Writing if better => Task::Look(Policy {
            hold: update.health_for.0,
            within: Some(update.health_within.0),
        }),
        State::Trial | State::Empty | State::Writing if update.probes.is_empty() => Task::Commit,
        State::Trial | State::Empty | State::Writing => Task::Look(Policy {
            hold: Duration::ZERO,
            within: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use keelson_image_layout::SlotRecord;

    use super::*;

    fn record(state: State, release: u8) -> SlotRecord {
        SlotRecord {
            state,
            tries: 3,
            root_hash: [release; 32],
            ..SlotRecord::EMPTY
        }
    }

    #[test]
    fn follows_the_table() {
        use State::{Bad, Empty, Good, Trial, Writing};
        let look = Task::Look(Policy {
            hold: Duration::from_secs(60),
            within: Some(Duration::from_secs(600)),
        });
        let table = [
            (record(Good, 1), record(Trial, 1), Task::Commit),
            (record(Good, 1), record(Good, 2), Task::Commit),
            (record(Trial, 2), record(Good, 1), look),
            (record(Trial, 1), record(Good, 1), Task::Commit),
            (record(Trial, 1), record(Trial, 1), Task::Commit),
            (record(Trial, 2), record(Writing, 1), Task::Commit),
            (record(Trial, 2), record(Bad, 1), Task::Commit),
            (record(Trial, 2), record(Empty, 0), Task::Commit),
            (record(Bad, 2), record(Good, 1), Task::Leave),
            (record(Bad, 2), record(Bad, 1), Task::Commit),
        ];
        for (running, other, expected) in table {
            let state = SlotState::new([running.clone(), other.clone()]);
            let task = decide_task(&state, Slot::A, &Update::default());
            assert_eq!(task, expected, "{running:?} {other:?}");
        }
        let exhausted = SlotRecord {
            tries: 0,
            ..record(Good, 1)
        };
        let state = SlotState::new([record(Trial, 2), exhausted]);
        assert_eq!(decide_task(&state, Slot::A, &Update::default()), Task::Commit);
    }

    #[test]
    fn a_fresh_machine_with_probes_is_committed_when_they_are_well_for_the_first_time() {
        let probe = serde_json::from_str("{\"name\":\"n\",\"unit\":\"netd\"}").unwrap();
        let update = Update {
            probes: vec![probe],
            ..Update::default()
        };
        let state = SlotState::new([record(State::Trial, 1), record(State::Trial, 1)]);
        let expected = Task::Look(Policy {
            hold: Duration::ZERO,
            within: None,
        });
        assert_eq!(decide_task(&state, Slot::A, &update), expected);
        let state = SlotState::new([record(State::Good, 1), record(State::Trial, 1)]);
        assert_eq!(decide_task(&state, Slot::A, &update), Task::Commit);
    }
}
