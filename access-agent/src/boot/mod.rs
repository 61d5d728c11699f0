//! `keelson boot`: this boot's timeline from the firmware to the last service. `docs/formats/operator-answers.md`.

mod bars;
mod svg;
mod timeline;

pub use bars::bars;
pub use svg::svg;
pub use timeline::{Phase, Span, Timeline, plan_timeline};

use crate::answer::{exit, json, say};
use crate::command::BootArguments;
use crate::machine::Machine;

/// Shows it. The code says whether the boot is complete.
///
/// # Errors
/// This is not a Keelson machine, or PID 1 does not answer.
pub fn boot(machine: &Machine, wanted: &BootArguments) -> anyhow::Result<u8> {
    let facts = machine.facts()?;
    let timeline = plan_timeline(&facts, machine.loader_times(), &machine.units()?);
    say(&match (wanted.json, wanted.svg) {
        (true, _) => json(&timeline)?,
        (_, true) => svg(&timeline),
        _ => bars(&timeline),
    });
    Ok(if timeline.complete_us.is_some() {
        exit::GOOD
    } else {
        exit::BAD
    })
}

#[cfg(test)]
#[path = "boot_test.rs"]
mod tests;
