//! What the slots hold, by record and boot entries, as the agent wants to know it.

use anyhow::{Context, Result, bail};
use keelson_image_layout::slot_state::Found as Read;
use keelson_image_layout::slot_state::update::forget_staged;
use keelson_image_layout::{EntryName, RootHash, Slot, SlotState, State};
use keelson_slot_store::entries::belongs_to;
use keelson_slot_store::{Places, RecordStore, entry_names};

use super::world::World;
use crate::agent::Found;
use crate::agent::event::Staged;

/// The record.
///
/// # Errors
/// It cannot be read.
pub fn record(places: &Places) -> Result<SlotState> {
    match RecordStore::open(&places.record)
        .context("open the slot-state record")?
        .read()
    {
        Read::Record(current) => Ok(current.state),
        Read::Newer { .. } | Read::Nothing => bail!("the slot-state record cannot be read"),
    }
}

/// Looks at both. A release whose entry the loader has counted down without its ever coming up is given up here: its
/// own initramfs never ran, so nobody else can.
///
/// # Errors
/// Record or entries cannot be read, or not be written.
pub fn look(world: &World, places: &Places) -> Result<(Found, SlotState)> {
    let running = world.facts.slot;
    let mut state = record(places)?;
    if is_staged(&state, running, world.root_hash()) && is_used_up(places, running.other())? {
        log::warn!(slot:% = running.other(); "its release never came up in any of its tries, and is given up");
        let store = RecordStore::open(&places.record).context("open the slot-state record")?;
        state = store
            .change(|state| forget_staged(state, running))
            .context("write the slot-state record")?;
    }
    Ok((found(world, &state), state))
}

/// What the record alone says. Going back is PID 1's and the judge's business (`mark-good`), so nothing is ever being
/// left for the agent.
fn found(world: &World, state: &SlotState) -> Found {
    let (running, root_hash) = (world.facts.slot, world.root_hash());
    let other = state.slot(running.other());
    let own = state.slot(running);
    Found {
        version: world.facts.release.version.clone(),
        committed: own.state == State::Good && own.root_hash == root_hash.0,
        leaving: false,
        staged: is_staged(state, running, root_hash).then(|| Staged {
            version: other.version_text(),
            root_hash: RootHash(other.root_hash),
        }),
        given_up: (other.state == State::Bad).then(|| (other.version_text(), other.reason)),
    }
}

/// A fresh disk has one release in both slots, both on trial; that one waits for nothing.
fn is_staged(state: &SlotState, running: Slot, root_hash: RootHash) -> bool {
    let other = state.slot(running.other());
    other.state == State::Trial && other.root_hash != root_hash.0 && state.slot(running).state == State::Good
}

fn is_used_up(places: &Places, slot: Slot) -> Result<bool> {
    let names = entry_names(&places.esp).context("read the boot entries")?;
    let entry = names.iter().find(|name| belongs_to(name, slot));
    Ok(entry.is_none_or(|name| EntryName::parse(name).is_ok_and(|name| name.is_bad())))
}
