//! What the initramfs decides about the slot it was started from.
//!
//! The record's own count of tries is taken down before the root is opened, so that a boot that dies anywhere later has
//! used one. A good slot is not counted; it loses a try only to a failure that left a trace. The name of the boot entry
//! proves nothing: its counter can be lost in a power cut.
//!
//! ```text
//!             first boot        boot-complete            failure with a trace
//!   writing ───────────▶ trial ──────────────▶ good(3) ──────────────────────▶ good(2) … good(0)
//!                          │ no try left, other slot good                        │ other slot can boot
//!                          ▼                                                     ▼
//!                         bad ◀──────────────────────────────────────────────── bad
//! ```

use crate::boot_entry::FRESH_TRIES;
use crate::slot::Slot;
use crate::verity::RootHash;

use super::decide::successor;
use super::{Reason, SlotRecord, SlotState, State};

/// The boot that asks to go on.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The slot whose entry was started.
    pub slot: Slot,
    /// The root this entry belongs to, from its own initramfs.
    pub root_hash: RootHash,
    /// Version of this release.
    pub version: &'a str,
    /// What the loader had to choose from.
    pub choice: Choice,
}

/// What the loader's counter says about its choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Another entry may be better.
    Open,
    /// The entry had no try left and was started all the same, so nothing better is left: refusing it would reboot into
    /// it for ever.
    LastResort,
}

/// Whether the slot may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// Write the record, if it changed, then go on.
    Go {
        /// The changed record.
        write: Option<SlotState>,
        /// Whether the slot still has to prove itself.
        trial: bool,
    },
    /// Write the record, put the slot's entry behind all others, reboot.
    Refuse {
        /// The changed record.
        write: SlotState,
        /// Why.
        reason: Reason,
    },
}

/// A record for a disk where neither copy can be read: nothing is known, so nothing counts as good, and neither slot
/// is given up.
#[must_use]
pub fn unknown() -> SlotState {
    let trial = SlotRecord {
        state: State::Trial,
        tries: FRESH_TRIES,
        ..SlotRecord::EMPTY
    };
    SlotState::new([trial.clone(), trial])
}

/// Whether the slot may be booted, and the record to write before its root is opened.
#[must_use]
pub fn decide_boot(state: &SlotState, attempt: &Attempt<'_>) -> Boot {
    let record = state.slot(attempt.slot);
    let other = state.slot(attempt.slot.other());
    let may_refuse = attempt.choice == Choice::Open && can_boot(other);
    if record.root_hash != attempt.root_hash.0 {
        return adopt(state, attempt);
    }
    match record.state {
        State::Empty | State::Writing => adopt(state, attempt),
        State::Good if record.tries == 0 && may_refuse => refuse(state, attempt.slot, record.reason),
        State::Trial if record.tries == 0 && may_refuse && other.state == State::Good => {
            refuse(state, attempt.slot, Reason::Tries)
        }
        State::Bad if may_refuse => refuse(state, attempt.slot, record.reason),
        State::Trial => go(state, attempt.slot, record.tries.saturating_sub(1)),
        State::Good | State::Bad => go(state, attempt.slot, record.tries),
    }
}

/// Whether a slot is worth rebooting for.
fn can_boot(record: &SlotRecord) -> bool {
    matches!(record.state, State::Good | State::Trial) && record.tries > 0
}

fn go(state: &SlotState, slot: Slot, tries: u8) -> Boot {
    let mut next = successor(state);
    next.slot_mut(slot).tries = tries;
    next.last_booted = Some(slot);
    Boot::Go {
        trial: next.slot(slot).state != State::Good,
        write: changed(state, next),
    }
}

/// The entry belongs to a release the record does not know: an update was cut after its entry became visible. The entry
/// only becomes visible when the whole slot was written and read back, so it gets its trial; whatever the record says
/// of the release before it does not count.
fn adopt(state: &SlotState, attempt: &Attempt<'_>) -> Boot {
    let mut next = successor(state);
    next.last_booted = Some(attempt.slot);
    next.remember_rejected(attempt.slot);
    *next.slot_mut(attempt.slot) = SlotRecord {
        state: State::Trial,
        tries: FRESH_TRIES - 1,
        version: SlotRecord::version_bytes(attempt.version),
        root_hash: attempt.root_hash.0,
        ..SlotRecord::EMPTY
    };
    Boot::Go {
        write: Some(next),
        trial: true,
    }
}

fn refuse(state: &SlotState, slot: Slot, reason: Reason) -> Boot {
    let mut next = successor(state);
    give_up(next.slot_mut(slot), reason);
    Boot::Refuse { write: next, reason }
}

fn give_up(record: &mut SlotRecord, reason: Reason) {
    record.state = State::Bad;
    record.tries = 0;
    record.reason = reason;
}

/// The record after the root of `slot` could not be opened. A slot on trial is given up at once; a good one loses a
/// try, since a read error may pass, and is given up with its last.
#[must_use]
pub fn root_failed(state: &SlotState, slot: Slot, reason: Reason) -> SlotState {
    let mut next = successor(state);
    let record = next.slot_mut(slot);
    if record.state == State::Good && record.tries > 1 {
        record.tries -= 1;
        record.reason = reason;
    } else {
        give_up(record, reason);
    }
    next
}

/// A failure of an earlier boot, found by what it left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// What happened.
    pub reason: Reason,
    /// A number that tells this trace from others, so that one that could not be removed is counted once; 0 if there
    /// is none.
    pub number: u64,
}

/// The record after a trace was found; `None` if it was counted already. It belongs to the slot booted last: a good one
/// loses a try, one on trial has used one by booting.
#[must_use]
pub fn count_trace(state: &SlotState, trace: Trace) -> Option<SlotState> {
    if trace.number != 0 && trace.number == state.counted_trace {
        return None;
    }
    let mut next = successor(state);
    if trace.number != 0 {
        next.counted_trace = trace.number;
    }
    if let Some(slot) = state.last_booted {
        let record = next.slot_mut(slot);
        record.reason = trace.reason;
        if record.state == State::Good {
            record.tries = record.tries.saturating_sub(1);
        }
    }
    changed(state, next)
}

/// The successor, unless nothing but its number changed.
fn changed(state: &SlotState, next: SlotState) -> Option<SlotState> {
    (successor(state) != next).then_some(next)
}

#[cfg(test)]
#[path = "boot_test.rs"]
mod tests;
