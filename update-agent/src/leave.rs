//! Going back from the running slot to the other one: the record first, then the boot entry, and the reboot only once
//! the loader would take the other entry. Else it would come back here for ever.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use keelson_image_layout::slot_state::update;
use keelson_image_layout::{BootFacts, Reason, Slot, SlotFacts, SlotState, State, StateMount};
use keelson_slot_store::{Esp, Plan, RecordStore};

use crate::health::Machine;

/// Goes back on an operator's wish.
///
/// # Errors
/// The other slot cannot be gone back to, or the record, the entry or PID 1 refuse.
pub fn roll_back(facts: &BootFacts, machine: &Machine) -> Result<()> {
    if facts.state == StateMount::Medium {
        bail!("this is an installation medium: it has one slot");
    }
    let other = facts
        .slots
        .as_ref()
        .and_then(|slots| slots.get(facts.slot.other().index()));
    let to = other.map_or("the other slot", |other| other.version.as_str());
    let why = format!("back from version {} to {to}", facts.release.version);
    leave(facts, machine, Reason::Replaced, &why)
}

/// Gives the running slot up and reboots.
///
/// # Errors
/// As [`roll_back`].
pub fn leave(facts: &BootFacts, machine: &Machine, reason: Reason, why: &str) -> Result<()> {
    let slot = facts.slot;
    let store = RecordStore::open(Path::new(&facts.disk.slot_state)).context("open the slot-state record")?;
    let state = give_up(&store, slot, reason)?;
    drop(store);
    let esp = Esp::open(Path::new(&facts.disk.esp)).context("open the boot entries")?;
    let plan = esp.align(slot, state.slot(slot));
    let plan = plan.context("put the running slot's boot entry behind the other")?;
    let bad_from_the_start = |slots: &[SlotFacts; 2]| {
        let facts = slots.get(slot.index());
        facts.is_some_and(|facts| facts.state == State::Bad)
    };
    match plan {
        Plan::Rename { .. } => log::info!(slot:% = slot; "boot entry put behind the other"),
        Plan::Keep if !facts.slots.as_ref().is_some_and(bad_from_the_start) => {}
        Plan::Keep => bail!("slot {slot} was given up and booted all the same: the loader found nothing better"),
        Plan::Missing | Plan::Ambiguous { .. } => bail!("slot {slot} was given up, and its boot entry cannot be told"),
    }
    // Before PID 1 is asked: after that nobody listens.
    let version = &facts.release.version;
    writeln!(
        std::io::stdout(),
        "keelson: given up slot={slot} version={version}: {why}"
    )
    .context("print")?;
    machine.reboot(why.to_owned())
}

fn give_up(store: &RecordStore, slot: Slot, reason: Reason) -> Result<SlotState> {
    let mut refused = None;
    let state = store
        .change(|state| {
            let next = update::give_up(state, slot, reason);
            next.unwrap_or_else(|refusal| {
                refused = Some(refusal);
                None
            })
        })
        .context("write the slot-state record")?;
    refused.map_or(Ok(state), |refusal| Err(refusal.into()))
}
