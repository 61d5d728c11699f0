//! The slot's own record: counting this boot before the root is opened, and recording that it could not be opened.
//!
//! What to write is decided in `keelson_image_layout::slot_state::boot`. If the record cannot be read or written, the
//! machine boots all the same: a broken counter must not cost a sound root.

use std::path::Path;

use keelson_image_layout::slot_state::Found;
use keelson_image_layout::slot_state::boot::{self, Attempt, Boot};
use keelson_image_layout::{Part, Reason, Slot, SlotFacts, SlotRecord, SlotState, State};
use keelson_slot_store::{Esp, EspError, Plan, RecordStore, plan_entry};

use super::disk::Nodes;
use super::trace::Failure;

/// What the record says about going on.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Open the root; whether the slot is on trial.
    Go {
        /// Not proven yet.
        trial: bool,
    },
    /// Reboot: the slot's entry stands behind the others now.
    Reboot {
        /// Why the slot is refused.
        reason: Reason,
    },
}

/// What the record says now; `None` if it cannot be read.
#[must_use]
pub fn record(nodes: &Nodes) -> Option<SlotState> {
    match RecordStore::open(nodes.part(Part::SlotState)).ok()?.read() {
        Found::Record(current) => Some(current.state),
        Found::Nothing | Found::Newer { .. } => None,
    }
}

/// What it says of both slots.
#[must_use]
pub fn facts(nodes: &Nodes) -> Option<[SlotFacts; 2]> {
    record(nodes).as_ref().map(SlotFacts::of)
}

/// Counts a failure of an earlier boot, then this boot, and says whether to go on.
#[must_use]
pub fn begin(nodes: &Nodes, attempt: &Attempt<'_>, failure: Option<&Failure>) -> Verdict {
    let store = match RecordStore::open(nodes.part(Part::SlotState)) {
        Ok(store) => store,
        Err(error) => {
            log::error!(error:% = crate::chain(&error); "slot-state record not usable, booting without it");
            return Verdict::Go { trial: true };
        }
    };
    let (state, copy) = match store.read() {
        Found::Record(current) => (current.state, current.next_copy),
        Found::Nothing => {
            log::warn!("no slot-state record, both slots are on trial");
            (boot::unknown(), 0)
        }
        Found::Newer { min_reader } => {
            log::warn!(min_reader; "slot-state record belongs to a newer release and is left alone");
            return Verdict::Go { trial: true };
        }
    };
    let counted = failure.and_then(|failure| boot::count_trace(&state, failure.trace));
    let decision = boot::decide_boot(counted.as_ref().unwrap_or(&state), attempt);
    carry_out(&store, copy, counted, decision, nodes, attempt.slot)
}

/// One write, whatever was counted: failure and boot go into the same record.
fn carry_out(
    store: &RecordStore,
    copy: usize,
    counted: Option<SlotState>,
    decision: Boot,
    nodes: &Nodes,
    slot: Slot,
) -> Verdict {
    match decision {
        Boot::Go { write, trial } => {
            if let Some(next) = write.or(counted) {
                write_logged(store, &next, copy);
            }
            Verdict::Go { trial }
        }
        Boot::Refuse { write, reason } => {
            write_logged(store, &write, copy);
            if demote(nodes.part(Part::Esp), slot, &write) {
                return Verdict::Reboot { reason };
            }
            // The loader would choose this entry again for ever.
            log::warn!(slot:% = slot; "refused slot is booted, since its entry cannot be put behind the others");
            Verdict::Go { trial: true }
        }
    }
}

/// Records that the root of the slot could not be opened. Without a record that can be changed, the loader's own is
/// all there is: the entry goes behind that of the other slot, or the loader would choose it for ever.
pub fn root_failed(nodes: &Nodes, slot: Slot, reason: Reason) {
    let recorded = RecordStore::open(nodes.part(Part::SlotState))
        .and_then(|store| store.change(|state| Some(boot::root_failed(state, slot, reason))));
    match recorded {
        Ok(next) if next.slot(slot).state == State::Bad => {
            demote(nodes.part(Part::Esp), slot, &next);
        }
        Ok(_) => {}
        Err(error) => {
            log::error!(error:% = crate::chain(&error); "damage of a slot could not be recorded");
            match Esp::mount(nodes.part(Part::Esp)).and_then(|esp| demote_unrecorded(&esp, slot)) {
                Ok(done) => log::warn!(slot:% = slot, done:? = done; "boot entry of a slot that cannot be opened"),
                Err(error) => log::error!(error:% = crate::chain(&error); "boot entry could not be renamed"),
            }
        }
    }
}

/// Gives the slot's entry its bad name if the other slot has an entry; `None` if it has not.
fn demote_unrecorded(esp: &Esp, slot: Slot) -> Result<Option<Plan>, EspError> {
    let bad = SlotRecord {
        state: State::Bad,
        ..SlotRecord::EMPTY
    };
    let other = plan_entry(&esp.names()?, slot.other(), &bad);
    if other == Plan::Missing {
        return Ok(None);
    }
    esp.align(slot, &bad).map(Some)
}

fn write_logged(store: &RecordStore, state: &SlotState, copy: usize) {
    if let Err(error) = store.write(state, copy) {
        log::error!(error:% = crate::chain(&error); "slot-state record could not be written");
    }
}

/// Puts the entry of a bad slot behind the others. Whether it stands there now.
fn demote(esp: &Path, slot: Slot, state: &SlotState) -> bool {
    match Esp::mount(esp).and_then(|esp| esp.align(slot, state.slot(slot))) {
        Ok(Plan::Rename { from, to }) => {
            log::warn!(slot:% = slot, from = from.as_str(), to = to.as_str(); "boot entry put behind the others");
            true
        }
        Ok(Plan::Keep) => true,
        Ok(Plan::Missing | Plan::Ambiguous { .. }) => {
            log::error!(slot:% = slot; "boot entry of a refused slot cannot be told");
            false
        }
        Err(error) => {
            log::error!(slot:% = slot, error:% = crate::chain(&error); "boot entry could not be put behind the others");
            false
        }
    }
}

#[cfg(test)]
#[path = "slot_test.rs"]
mod tests;
