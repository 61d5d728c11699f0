//! Where an update of the other slot stands, told by the record and the boot entries alone: whatever else was noted
//! elsewhere may be lost. Pure.

use keelson_image_layout::slot_state::update::{Refusal, Running, Wanted, may_write};
use keelson_image_layout::{SlotState, State};
use thiserror::Error;

use crate::entries::{Plan, belongs_to, plan_entry};

/// What was found.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The record.
    pub state: &'a SlotState,
    /// The running release.
    pub running: Running,
    /// Names in `EFI/Linux`.
    pub names: &'a [String],
    /// SHA-256 of the other slot's entry, if it has exactly one.
    pub entry_sha256: Option<[u8; 32]>,
}

/// What is to be done next for a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Nothing of it is there, or not known to be: record and stale entry first. What already lies in the slot is
    /// found by its hashes.
    Begin,
    /// The slot is being written with it. The record needs no writing; a stale entry may still be there.
    Write,
    /// The slot is complete and its entry visible; only the record lags behind.
    Record,
    /// It waits for its first boot.
    Staged,
}

/// Why it cannot be written now.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Obstacle {
    /// The record does not allow it.
    #[error(transparent)]
    Record(#[from] Refusal),
    /// The running slot could not be booted again, so the other one's entry must stay.
    #[error("the running slot {slot} has no boot entry")]
    NoEntry {
        /// The running slot.
        slot: keelson_image_layout::Slot,
    },
}

/// What is left to do to have `wanted` in the other slot.
///
/// # Errors
/// [`Obstacle`]: nothing may be written.
pub fn plan_resume(scene: &Scene<'_>, wanted: &Wanted) -> Result<Resume, Obstacle> {
    let (slot, state) = (scene.running.slot.other(), scene.state);
    may_write(state, &scene.running, wanted)?;
    must_have_entry(scene)?;
    let record = state.slot(slot);
    let ours = record.root_hash == wanted.root_hash.0;
    // Two names share their clusters, as a torn rename leaves them: both go, and the entry is written anew.
    let names = scene.names.iter().filter(|name| belongs_to(name, slot)).count();
    let visible = names == 1 && scene.entry_sha256 == Some(wanted.entry_sha256);
    Ok(match record.state {
        State::Trial | State::Good if ours && visible => Resume::Staged,
        State::Writing if ours && visible => Resume::Record,
        State::Writing if ours && record.uki_sha256 == wanted.entry_sha256 => Resume::Write,
        _ => Resume::Begin,
    })
}

/// Before the other slot's entry goes, the running one's must be there. Two names of it do no harm as long as neither is
/// touched: the loader takes one of them.
fn must_have_entry(scene: &Scene<'_>) -> Result<(), Obstacle> {
    let slot = scene.running.slot;
    match plan_entry(scene.names, slot, scene.state.slot(slot)) {
        Plan::Keep | Plan::Rename { .. } | Plan::Ambiguous { .. } => Ok(()),
        Plan::Missing => Err(Obstacle::NoEntry { slot }),
    }
}

#[cfg(test)]
mod tests {
    use keelson_image_layout::{Reason, RootHash, Slot, SlotRecord};

    use super::*;

    const OLD: RootHash = RootHash([1; 32]);
    const NEW: RootHash = RootHash([2; 32]);
    const ENTRY: [u8; 32] = [9; 32];

    fn record(state: State, root_hash: RootHash) -> SlotRecord {
        SlotRecord {
            state,
            tries: 3,
            root_hash: root_hash.0,
            uki_sha256: ENTRY,
            ..SlotRecord::EMPTY
        }
    }

    fn plan(a: SlotRecord, b: SlotRecord, names: &[&str], entry: Option<[u8; 32]>) -> Result<Resume, Obstacle> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let scene = Scene {
            state: &SlotState::new([a, b]),
            running: Running {
                slot: Slot::A,
                root_hash: OLD,
            },
            names: &names,
            entry_sha256: entry,
        };
        let wanted = Wanted {
            version: "2".to_owned(),
            root_hash: NEW,
            entry_sha256: ENTRY,
        };
        plan_resume(&scene, &wanted)
    }

    #[test]
    fn record_and_entries_say_how_far_it_is() {
        use State::{Bad, Empty, Good, Trial, Writing};
        let both: &[&str] = &["ka.efi", "kb+3-0.efi"];
        let alone: &[&str] = &["ka.efi", "kb.new"];
        let stale = Some([5; 32]);
        let table = [
            (record(Empty, RootHash([0; 32])), alone, None, Resume::Begin),
            (record(Trial, OLD), both, stale, Resume::Begin),
            (record(Bad, OLD), both, stale, Resume::Begin),
            (record(Writing, OLD), both, stale, Resume::Begin),
            // Cut between the record and the removal of the stale entry, or while writing.
            (record(Writing, NEW), both, stale, Resume::Write),
            (record(Writing, NEW), alone, None, Resume::Write),
            // Cut between the entry's name and the record.
            (record(Writing, NEW), both, Some(ENTRY), Resume::Record),
            (record(Trial, NEW), both, Some(ENTRY), Resume::Staged),
            (record(Good, NEW), both, Some(ENTRY), Resume::Staged),
            // A lost or damaged entry: the slot is complete, but it goes through all steps again.
            (record(Trial, NEW), alone, None, Resume::Begin),
            (record(Trial, NEW), both, stale, Resume::Begin),
            // Two names of one slot, either slot.
            (
                record(Trial, NEW),
                &["ka.efi", "kb+3-0.efi", "KB_3-0~1.EFI"],
                Some(ENTRY),
                Resume::Begin,
            ),
            (
                record(Bad, OLD),
                &["ka.efi", "KA_3-0~1.EFI", "kb.efi"],
                stale,
                Resume::Begin,
            ),
        ];
        for (b, names, entry, expected) in table {
            let found = plan(record(Good, OLD), b.clone(), names, entry);
            assert_eq!(found, Ok(expected), "{b:?} {names:?} {entry:?}");
        }
    }

    #[test]
    fn nothing_is_written_that_could_leave_nothing_to_boot() {
        let (good, other) = (record(State::Good, OLD), record(State::Trial, OLD));
        let refused = plan(good, other.clone(), &["kb+3-0.efi"], None);
        assert_eq!(refused, Err(Obstacle::NoEntry { slot: Slot::A }));
        let refused = plan(record(State::Trial, OLD), other, &["ka+2-1.efi"], None);
        assert_eq!(refused, Err(Obstacle::Record(Refusal::NotCommitted { slot: Slot::A })));
    }

    #[test]
    fn a_release_given_up_is_not_taken_up_again() {
        let bad = SlotRecord {
            reason: Reason::Health,
            ..record(State::Bad, NEW)
        };
        let refused = plan(record(State::Good, OLD), bad, &["ka.efi", "kb+0-3.efi"], Some(ENTRY));
        let reason = Reason::Health;
        assert_eq!(refused, Err(Obstacle::Record(Refusal::Rejected { reason })));
    }
}
