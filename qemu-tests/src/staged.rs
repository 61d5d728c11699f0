//! A disk as an update leaves it: the release of another image in the slot that does not run, on trial, by the decisions
//! that the update agent makes.

use anyhow::{Context, Result, bail};
use keelson_image_layout::boot_entry::FRESH_TRIES;
use keelson_image_layout::slot_state::update::{Running, Wanted, begin, put_on_trial};
use keelson_image_layout::slot_state::{COPY_OFFSETS, decide};
use keelson_image_layout::{EntryName, Part, RootHash, Slot, SlotRecord, SlotState, State};
use keelson_os_build::disk::esp::Held;

use crate::disk::DiskFile;

/// Puts the release of `from` beside the committed one of `disk`; the slot it lies in now. A disk that never booted
/// counts as committed in slot A.
///
/// # Errors
/// A disk cannot be read or written.
pub fn stage(disk: &DiskFile, from: &DiskFile) -> Result<Slot> {
    let state = committed(disk)?;
    let running = Slot::ALL
        .into_iter()
        .find(|slot| state.slot(*slot).state == State::Good);
    let running = running.context("no slot is committed")?;
    let other = from.slot_state()?.state.slot(Slot::A).clone();
    let slot = running.other();
    for (source, target) in [(Part::RootA, slot.root()), (Part::VerityA, slot.verity())] {
        copy(from, source, disk, target)?;
    }
    let entry = entry_of(from, Slot::A)?;
    disk.change_esp(|contents| {
        contents.files.retain(|file| slot_of(file) != Some(slot));
        let path = format!("EFI/Linux/{}", EntryName::trial(slot, FRESH_TRIES));
        contents.files.push(Held { path, bytes: entry });
        Ok(())
    })?;
    let of_running = Running {
        slot: running,
        root_hash: RootHash(state.slot(running).root_hash),
    };
    let wanted = Wanted {
        version: other.version_text(),
        root_hash: RootHash(other.root_hash),
        entry_sha256: other.uki_sha256,
    };
    let writing = begin(&state, &of_running, &wanted)?.context("the other slot holds it already")?;
    let trial = put_on_trial(&writing, &of_running, &wanted)?.context("it is on trial already")?;
    write(disk, &trial)?;
    Ok(slot)
}

/// The record of a disk whose one slot is good.
fn committed(disk: &DiskFile) -> Result<SlotState> {
    let state = disk.slot_state()?.state;
    if state.any_good() {
        return Ok(state);
    }
    let next = decide::mark_good(&state, Slot::A, FRESH_TRIES).context("slot A is good already")?;
    disk.change_esp(|contents| {
        let entry = contents.files.iter_mut().find(|file| slot_of(file) == Some(Slot::A));
        entry.context("slot A has no entry")?.path = format!("EFI/Linux/{}", EntryName::good(Slot::A));
        Ok(())
    })?;
    write(disk, &next)?;
    Ok(next)
}

/// The slot whose entry a file is.
fn slot_of(file: &Held) -> Option<Slot> {
    let name = file.path.strip_prefix("EFI/Linux/")?;
    EntryName::parse(name).ok().map(|name| name.slot)
}

fn entry_of(disk: &DiskFile, slot: Slot) -> Result<Vec<u8>> {
    disk.change_esp(|contents| {
        let entry = contents.files.iter().find(|file| slot_of(file) == Some(slot));
        Ok(entry.context("the slot has no entry")?.bytes.clone())
    })
}

fn copy(from: &DiskFile, source: Part, to: &DiskFile, target: Part) -> Result<()> {
    const PIECE: usize = 8 << 20;
    let bytes = source.size().unwrap_or_default();
    for at in (0..bytes).step_by(PIECE) {
        let length = PIECE.min(usize::try_from(bytes - at)?);
        let piece = from.read(source.start() + at, length)?;
        to.write(target.start() + at, &piece)?;
    }
    Ok(())
}

fn write(disk: &DiskFile, state: &SlotState) -> Result<()> {
    let copy = disk.slot_state()?.next_copy;
    let Some(offset) = COPY_OFFSETS.get(copy) else {
        bail!("there is no copy {copy}")
    };
    disk.write(Part::SlotState.start() + offset, &state.encode())
}

/// What the record says of a slot.
///
/// # Errors
/// It cannot be read.
pub fn record(disk: &DiskFile, slot: Slot) -> Result<SlotRecord> {
    Ok(disk.slot_state()?.state.slot(slot).clone())
}
