//! Settings go back with the system: a configuration that came with a release which was given up on this machine is not
//! in force; the one that was confirmed before is. The link `current` stays, so that the same document is not applied
//! again by the release before; a changed one is.

use std::fs;

use keelson_image_layout::{RootHash, Slot};
use serde::Deserialize;

use crate::generation::{Generation, Store};
use crate::places::Places;
use crate::status::Status;

/// The facts of the boot that matter here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Boot {
    slot: Slot,
    #[serde(default)]
    trial: bool,
    release: Release,
    #[serde(default)]
    rejected: Vec<RootHash>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Release {
    verity: Verity,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Verity {
    root_hash: RootHash,
}

impl Boot {
    /// As the initramfs left them; `None` where there was none.
    #[must_use]
    pub fn read(places: &Places) -> Option<Boot> {
        serde_json::from_slice(&fs::read(&places.boot_facts).ok()?).ok()
    }

    /// The running release.
    #[must_use]
    pub const fn release(&self) -> RootHash {
        self.release.verity.root_hash
    }

    /// Whose confirmed configuration counts: a slot on trial has confirmed none of its own.
    fn order(&self) -> [Slot; 2] {
        if self.trial {
            [self.slot.other(), self.slot]
        } else {
            [self.slot, self.slot.other()]
        }
    }
}

/// The confirmed generation that takes the place of `current`, if `current` came with a release that was given up.
#[must_use]
pub fn instead(store: &Store, current: &Generation, boot: Option<&Boot>, status: &mut Status) -> Option<Generation> {
    let boot = boot?;
    let release = current.provenance.release?;
    if release == boot.release() || !boot.rejected.contains(&release) {
        return None;
    }
    let confirmed = boot.order().into_iter().filter_map(|slot| store.confirmed(slot));
    let generation = confirmed
        .filter(|id| *id != current.id)
        .find_map(|id| store.load(&id).ok())?;
    let note = format!(
        "the document from {} came with a release that was given up: the configuration confirmed before is in force",
        current.provenance.origin
    );
    log::warn!(generation = generation.id; "{note}");
    status.notes.push(note);
    Some(generation)
}
