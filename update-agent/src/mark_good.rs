//! Committing the running slot: the slot-state record first, then the names of the boot entries, then the
//! configuration it booted with. A release that has another one to go back to has to prove itself before; one that does
//! not is given up, and the machine reboots into the other slot.
//!
//! A cut between record and names leaves a good slot with a counted name; the next boot's call finishes it. So it is
//! safe to run at every boot, and it repairs what an earlier cut, or firmware that lost a name, left behind.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use keelson_image_layout::boot_entry::FRESH_TRIES;
use keelson_image_layout::slot_state::{decide, update};
use keelson_image_layout::{BootFacts, Reason, Slot, SlotFacts, SlotState, State, StateMount, paths};
use keelson_slot_store::{Esp, Plan, RecordStore};

use crate::commit_task::{Task, decide_task};
use crate::confirm::confirm;
use crate::health::{Machine, assess};

/// Marks the running slot good, once it has proven itself, and leads both entries to the names they should have; or goes
/// back to the other slot. The line that says so.
///
/// # Errors
/// The record or the boot entry could not be written; running again is right.
pub fn run(facts: &BootFacts, machine: &Machine) -> Result<String> {
    if facts.state == StateMount::Medium {
        return Ok("keelson: installation medium, nothing to commit\n".to_owned());
    }
    let update = machine.config().update.unwrap_or_default();
    let why = match decide_task(&open(facts)?.change(|_| None)?, facts.slot, &update) {
        Task::Commit => None,
        Task::Look(policy) => assess(machine, policy).err(),
        Task::Leave => Some("it was given up before".to_owned()),
    };
    if let Some(why) = why {
        return leave(facts, machine, &why);
    }
    let state = commit(&open(facts)?, facts)?;
    let esp = Esp::open(Path::new(&facts.disk.esp)).context("open the boot entries")?;
    align(&esp, &state, facts.slot)?;
    confirm_configuration(facts);
    Ok(format!(
        "keelson: committed slot={} version={}\n",
        facts.slot, facts.release.version
    ))
}

fn open(facts: &BootFacts) -> Result<RecordStore> {
    RecordStore::open(Path::new(&facts.disk.slot_state)).context("open the slot-state record")
}

/// Gives the running slot up for its health and reboots into the other one: the record first, then the entry, and the
/// reboot only once the loader would take the other entry. Else it would come back here for ever.
fn leave(facts: &BootFacts, machine: &Machine, why: &str) -> Result<String> {
    let (slot, version) = (facts.slot, &facts.release.version);
    let state = give_up(&open(facts)?, slot)?;
    let esp = Esp::open(Path::new(&facts.disk.esp)).context("open the boot entries")?;
    let plan = esp
        .align(slot, state.slot(slot))
        .context("put the running slot's boot entry behind the other")?;
    let bad_from_the_start = |slots: &[SlotFacts; 2]| {
        let facts = slots.get(slot.index());
        facts.is_some_and(|facts| facts.state == State::Bad)
    };
    match plan {
        Plan::Rename { .. } => tell(slot, &plan),
        Plan::Keep if !facts.slots.as_ref().is_some_and(bad_from_the_start) => {}
        Plan::Keep => bail!("slot {slot} was given up and booted all the same: the loader found nothing better"),
        Plan::Missing | Plan::Ambiguous { .. } => bail!("slot {slot} was given up, and its boot entry cannot be told"),
    }
    // Before PID 1 is asked: after that nobody listens.
    writeln!(
        std::io::stdout(),
        "keelson: given up slot={slot} version={version}: {why}"
    )
    .context("print")?;
    machine.reboot(format!("version {version} did not prove itself: {why}"))?;
    Ok(String::new())
}

fn give_up(store: &RecordStore, slot: Slot) -> Result<SlotState> {
    let mut refused = None;
    let state = store
        .change(|state| {
            let next = update::give_up(state, slot, Reason::Health);
            next.unwrap_or_else(|refusal| {
                refused = Some(refusal);
                None
            })
        })
        .context("write the slot-state record")?;
    refused.map_or(Ok(state), |refusal| Err(refusal.into()))
}

/// The record must speak of the release that runs: one that was exchanged meanwhile has proven nothing.
fn commit(store: &RecordStore, facts: &BootFacts) -> Result<SlotState> {
    let mut proven = true;
    let state = store
        .change(|state| {
            proven = state.slot(facts.slot).root_hash == facts.release.verity.root_hash.0;
            proven
                .then(|| decide::mark_good(state, facts.slot, FRESH_TRIES))
                .flatten()
        })
        .context("write the slot-state record")?;
    ensure!(proven, "the record of slot {} belongs to another release", facts.slot);
    Ok(state)
}

/// The running slot's entry first. The other one is mended if it can be, and never holds up the commit.
fn align(esp: &Esp, state: &SlotState, running: Slot) -> Result<()> {
    let plan = esp
        .align(running, state.slot(running))
        .context("rename the running slot's boot entry")?;
    tell(running, &plan);
    let other = running.other();
    match esp.align(other, state.slot(other)) {
        Ok(plan) => tell(other, &plan),
        Err(error) => log::warn!(slot:% = other, error:% = error; "other slot's boot entry cannot be mended"),
    }
    Ok(())
}

/// The slot is committed by now: a failure here costs a fallback, not the commit.
fn confirm_configuration(facts: &BootFacts) {
    if facts.state != StateMount::ReadWrite {
        return;
    }
    match confirm(Path::new(paths::CONFIG_STATUS), Path::new(paths::CONFIG), facts.slot) {
        Ok(confirmed) => log::info!(slot:% = facts.slot, confirmed; "configuration in force"),
        Err(error) => log::warn!(slot:% = facts.slot, error:% = error; "configuration cannot be confirmed"),
    }
}

fn tell(slot: Slot, plan: &Plan) {
    match plan {
        Plan::Keep => {}
        Plan::Rename { from, to } => {
            log::info!(slot:% = slot, from = from.as_str(), to = to.as_str(); "boot entry renamed");
        }
        Plan::Missing => log::warn!(slot:% = slot; "slot has no boot entry"),
        Plan::Ambiguous { names } => log::warn!(slot:% = slot, names:? = names; "slot has several boot entries"),
    }
}

#[cfg(test)]
#[path = "mark_good_test.rs"]
mod tests;
