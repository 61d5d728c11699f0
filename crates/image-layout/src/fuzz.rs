//! Entry points for fuzzing: each takes any bytes and must not panic.

use crate::boot_entry::EntryName;
use crate::boot_history::{Ending, History};
use crate::slot_state::SlotState;

/// The slot-state record; one that decodes must encode to what decodes equal.
pub fn slot_state(data: &[u8]) {
    if let Ok(state) = SlotState::decode(data) {
        assert_eq!(SlotState::decode(&state.encode()), Ok(state));
    }
}

/// A file name in `EFI/Linux`.
pub fn entry_name(data: &[u8]) {
    if let Ok(name) = std::str::from_utf8(data) {
        let _ = EntryName::parse(name);
    }
}

/// The release description.
pub fn release(data: &[u8]) {
    let _ = serde_json::from_slice::<crate::Release>(data);
}

/// The boot history and the record of an orderly end; a history that is understood is written as what is understood
/// the same.
pub fn boot_history(data: &[u8]) {
    if let Ok(history) = History::parse(data) {
        assert_eq!(History::parse(&history.to_bytes()).ok(), Some(history));
    }
    let _ = serde_json::from_slice::<Ending>(data);
}
