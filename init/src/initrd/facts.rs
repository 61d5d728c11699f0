//! What this boot found out, for the programs of the system, and the last words of one that failed, for people.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Result;
use keelson_image_layout::{BootFacts, Reason, Release, Slot, SlotFacts, paths};

use super::milestones::Milestones;
use super::root::SYSROOT;
use super::search::System;
use super::slot;
use super::state::Opened;
use super::trace::Failure;
use super::{efi, mounts};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const FORMAT: u32 = 1;

/// What the facts are made from.
#[derive(Debug)]
pub struct Told<'a> {
    /// The running release.
    pub release: Release,
    /// Whether its slot is on trial.
    pub trial: bool,
    /// Disk and slot.
    pub system: &'a System,
    /// What became of the state.
    pub opened: Opened,
    /// A failure of an earlier boot.
    pub failure: Option<&'a Failure>,
}

/// The facts, but for the times.
#[must_use]
pub fn gather(told: Told<'_>) -> BootFacts {
    let boot_id = fs::read_to_string(BOOT_ID).unwrap_or_default();
    let record = slot::record(&told.system.nodes);
    BootFacts {
        format: FORMAT,
        release: told.release,
        slot: told.system.slot,
        trial: told.trial,
        boot_id: boot_id.trim().replace('-', ""),
        first_boot: told.opened.first_boot,
        disk: told.system.nodes.facts(),
        state: told.opened.mount,
        previous_failure: told.failure.map(|failure| word(failure.trace.reason)),
        slots: record.as_ref().map(SlotFacts::of),
        rejected: record.map(|record| record.rejected_roots()).unwrap_or_default(),
        secure_boot: efi::secure_boot(Path::new(mounts::EFI_VARIABLES)),
        milestones: Vec::new(),
    }
}

/// Writes the facts for the system stage.
///
/// # Errors
/// Says what could not be written.
pub fn write(mut facts: BootFacts, mut times: Milestones) -> Result<()> {
    times.reached("switch");
    facts.milestones = times.into_list();
    fs::create_dir_all(paths::RUN)?;
    fs::write(paths::BOOT_FACTS, serde_json::to_vec(&facts)?)?;
    Ok(())
}

/// A reason as the record's readers spell it.
#[must_use]
pub fn word(reason: Reason) -> String {
    match serde_json::to_value(reason) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "other".to_owned(),
    }
}

/// Keeps the last words of an earlier boot in the state; the one before is overwritten.
pub fn keep_failure(failure: &Failure, found_by: Slot, release: &Release) {
    let directory = Path::new(SYSROOT).join(paths::BOOT.trim_start_matches('/'));
    if let Err(error) = write_failure(&directory, failure, found_by, release) {
        log::warn!(error:% = error; "last words of an earlier boot could not be kept");
    }
}

fn write_failure(directory: &Path, failure: &Failure, found_by: Slot, release: &Release) -> io::Result<()> {
    let text = format!(
        "reason={}\nnumber={}\nfound-by-slot={found_by}\nfound-by-version={}\n\n{}",
        word(failure.trace.reason),
        failure.trace.number,
        release.version,
        failure.text,
    );
    keelson_durable::replace(&directory.join("last-failure"), text.as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_single_words() {
        let table = [
            (Reason::Corruption, "corruption"),
            (Reason::Panic, "panic"),
            (Reason::Other, "other"),
            (Reason::Tries, "tries"),
        ];
        for (reason, expected) in table {
            assert_eq!(word(reason), expected);
        }
    }
}
