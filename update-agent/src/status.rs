//! What is known of the two slots, for people and for programs.

use std::path::Path;

use anyhow::{Context, Result};
use keelson_image_layout::slot_state::Found;
use keelson_image_layout::{BootFacts, Reason, RootHash, Slot, SlotState, State};
use keelson_slot_store::RecordStore;
use serde::Serialize;

/// The status document.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The running slot.
    running: Slot,
    /// Whether it is still to be committed.
    trial: bool,
    /// Version of the running release.
    version: String,
    /// Why the previous boot ended, if it left a trace.
    previous_failure: Option<String>,
    /// Slot A, slot B; absent when the record cannot be read.
    slots: Option<[SlotStatus; 2]>,
}

/// One slot.
#[derive(Debug, Serialize)]
struct SlotStatus {
    slot: Slot,
    state: State,
    tries_left: u8,
    last_failure: Reason,
    version: String,
    root_hash: RootHash,
}

/// Reads the record; holds its lock no longer than that.
///
/// # Errors
/// The partition cannot be opened.
pub fn read(facts: &BootFacts) -> Result<Status> {
    let store = RecordStore::open(Path::new(&facts.disk.slot_state)).context("open the slot-state record")?;
    Ok(describe(facts, &store.read()))
}

fn describe(facts: &BootFacts, found: &Found) -> Status {
    let state = match found {
        Found::Record(current) => Some(&current.state),
        Found::Newer { .. } | Found::Nothing => None,
    };
    let committed = state.is_some_and(|state| state.slot(facts.slot).state == State::Good);
    Status {
        running: facts.slot,
        trial: !committed,
        version: facts.release.version.clone(),
        previous_failure: facts.previous_failure.clone(),
        slots: state.map(|state| Slot::ALL.map(|slot| slot_status(state, slot))),
    }
}

fn slot_status(state: &SlotState, slot: Slot) -> SlotStatus {
    let record = state.slot(slot);
    SlotStatus {
        slot,
        state: record.state,
        tries_left: record.tries,
        last_failure: record.reason,
        version: record.version_text(),
        root_hash: RootHash(record.root_hash),
    }
}

/// As JSON.
///
/// # Errors
/// Never in practice: the document has no maps with odd keys.
pub fn json(status: &Status) -> Result<String> {
    Ok(serde_json::to_string_pretty(status)? + "\n")
}

/// For people.
#[must_use]
pub fn text(status: &Status) -> String {
    let trial = if status.trial { ", not committed yet" } else { "" };
    let mut text = format!("running {} from slot {}{trial}\n", status.version, status.running);
    match &status.slots {
        None => text.push_str("the slot-state record cannot be read\n"),
        Some(slots) => slots.iter().for_each(|slot| text.push_str(&line(slot))),
    }
    if let Some(failure) = &status.previous_failure {
        text.push_str(&format!("the previous boot ended badly: {failure}\n"));
    }
    text
}

fn line(slot: &SlotStatus) -> String {
    let word = |value: Result<serde_json::Value, _>| match value {
        Ok(serde_json::Value::String(word)) => word,
        _ => "?".to_owned(),
    };
    let state = word(serde_json::to_value(slot.state));
    let failure = match slot.last_failure {
        Reason::None => String::new(),
        reason => format!(", last failure: {}", word(serde_json::to_value(reason))),
    };
    format!(
        "slot {}  {}  {state}, {} tries left{failure}\n",
        slot.slot, slot.version, slot.tries_left
    )
}

#[cfg(test)]
mod tests {
    use keelson_image_layout::SlotRecord;

    use super::*;

    fn status() -> Status {
        let record = SlotRecord {
            state: State::Good,
            tries: 2,
            reason: Reason::Corruption,
            version: SlotRecord::version_bytes("1.2.0"),
            ..SlotRecord::EMPTY
        };
        let state = SlotState::new([record, SlotRecord::EMPTY]);
        Status {
            running: Slot::A,
            trial: false,
            version: "1.2.0".to_owned(),
            previous_failure: Some("corruption".to_owned()),
            slots: Some(Slot::ALL.map(|slot| slot_status(&state, slot))),
        }
    }

    #[test]
    fn people_read_a_line_per_slot() {
        let expected = "running 1.2.0 from slot a\n\
                        slot a  1.2.0  good, 2 tries left, last failure: corruption\n\
                        slot b    empty, 0 tries left\n\
                        the previous boot ended badly: corruption\n";
        assert_eq!(text(&status()), expected);
        let unreadable = Status {
            slots: None,
            trial: true,
            previous_failure: None,
            ..status()
        };
        assert!(text(&unreadable).ends_with("the slot-state record cannot be read\n"));
    }

    #[test]
    fn programs_read_the_same() {
        let value: serde_json::Value = serde_json::from_str(&json(&status()).unwrap()).unwrap();
        assert_eq!(value["slots"][0]["state"], "good");
        assert_eq!(value["slots"][0]["last_failure"], "corruption");
        assert_eq!(value["running"], "a");
    }
}
