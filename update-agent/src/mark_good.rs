//! Committing the running slot: the slot-state record first, then the names of the boot entries, then the
//! configuration it booted with. A release that has another one to go back to has to prove itself before; one that does
//! not is given up, and the machine reboots into the other slot.
//!
//! A cut between record and names leaves a good slot with a counted name; the next boot's call finishes it. So it is
//! safe to run at every boot, and it repairs what an earlier cut, or firmware that lost a name, left behind.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use keelson_image_layout::boot_entry::FRESH_TRIES;
use keelson_image_layout::slot_state::decide;
use keelson_image_layout::{BootFacts, Reason, Slot, SlotState, StateMount, paths};
use keelson_slot_store::{Esp, Plan, RecordStore, entries_agree};

use crate::commit_task::{Task, decide_task};
use crate::confirm::confirm;
use crate::health::{Machine, assess};
use crate::leave::leave;

/// The unit that fetches releases. It may write only once the running slot is committed, and where no repository is named
/// there is nothing to fetch: it starts with the first question then.
const AGENT: &str = "update";

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
    let repository = update.address.is_some();
    let why = match decide_task(&open(facts)?.change(|_| None)?, facts.slot, &update) {
        Task::Commit => None,
        Task::Look(policy) => assess(machine, policy).err(),
        Task::Leave => Some("it was given up before".to_owned()),
    };
    if let Some(why) = why {
        let why = format!("version {} did not prove itself: {why}", facts.release.version);
        return leave(facts, machine, Reason::Health, &why).map(|()| String::new());
    }
    let state = commit(&open(facts)?, facts)?;
    let partition = Path::new(&facts.disk.esp);
    if !entries_agree(partition, &state) {
        let esp = Esp::open(partition).context("open the boot entries")?;
        align(&esp, &state, facts.slot)?;
    }
    confirm_configuration(facts);
    if repository && let Err(error) = machine.start(AGENT) {
        log::warn!(error:% = format_args!("{error:#}"); "the update agent is not started: it starts when an operator asks it");
    }
    Ok(format!(
        "keelson: committed slot={} version={}\n",
        facts.slot, facts.release.version
    ))
}

fn open(facts: &BootFacts) -> Result<RecordStore> {
    RecordStore::open(Path::new(&facts.disk.slot_state)).context("open the slot-state record")
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
