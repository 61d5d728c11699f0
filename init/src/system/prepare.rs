//! Before the first unit: the machine around PID 1, and what the initramfs found out about this boot.

use std::path::PathBuf;
use std::time::Duration;

use keelson_image_layout::{BootFacts, Slot, SlotFacts, State, StateMount, paths};

use super::console::Console;
use super::options::Options;
use super::{loopback, sysctl, tree};
use crate::manager::BootPolicy;
use crate::manager::boot::Otherwise;
use crate::modules::modprobe;

/// How long a boot may take to be complete.
const BOOT_WITHIN: Duration = Duration::from_secs(300);

/// Everything that has to be there before the first unit.
pub(super) fn prepare_machine(console: Console) {
    tree::set_up(console);
    // Not before: mounting would have the kernel ask for modules that no kernel of ours has, each time with a process.
    if let Err(error) = modprobe::answer_kernel(modprobe::IN_ROOT) {
        console.complain(format!("the kernel cannot ask for modules: {error}"));
    }
    sysctl::apply();
    if let Err(error) = loopback::bring_up() {
        console.complain(format!("the loopback link is down: {error}"));
    }
    // Ctrl-Alt-Del becomes SIGINT, and with it an orderly reboot.
    if let Err(error) = nix::sys::reboot::set_cad_enabled(false) {
        log::info!("Ctrl-Alt-Del still resets at once: {error}");
    }
}

/// What the initramfs found out; a container has none.
pub(super) fn read_facts(options: &Options) -> Option<BootFacts> {
    if !options.hardware {
        return None;
    }
    let text = std::fs::read(paths::BOOT_FACTS)
        .inspect_err(|error| log::warn!("no facts of this boot: {error}"))
        .ok()?;
    serde_json::from_slice(&text)
        .inspect_err(|error| log::warn!("facts of this boot: {error}"))
        .ok()
}

/// Where units come from: an installation medium has a few more.
pub(super) fn unit_folders(options: &Options, facts: Option<&BootFacts>) -> Vec<PathBuf> {
    let mut folders = vec![options.units.clone()];
    if facts.is_some_and(|facts| facts.state == StateMount::Medium) {
        folders.push(paths::MEDIUM_UNITS.into());
    }
    folders
}

/// A slot on trial is left if it does not work; a proven one is kept for people to look at.
pub(super) fn boot_policy(facts: Option<&BootFacts>) -> BootPolicy {
    let on_trial = facts.is_some_and(|facts| facts.trial);
    BootPolicy {
        target: "boot-complete".to_owned(),
        within: BOOT_WITHIN,
        otherwise: if on_trial { Otherwise::Reboot } else { Otherwise::Stay },
        commit: facts.filter(|facts| has_better(facts)).map(|_| "mark-good".to_owned()),
    }
}

/// Whether the running slot is on trial, which costs it a try, and the other one has proven itself.
fn has_better(facts: &BootFacts) -> bool {
    let Some(slots) = &facts.slots else {
        return false;
    };
    let of = |slot: Slot| slots.get(slot.index());
    let good = |slot: &SlotFacts| slot.state == State::Good && slot.tries > 0;
    of(facts.slot).is_some_and(|slot| slot.state == State::Trial) && of(facts.slot.other()).is_some_and(good)
}
