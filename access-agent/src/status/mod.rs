//! `keelson status`: the machine on one screen, and what is wrong. `docs/formats/operator-answers.md`.

mod problems;
mod report;
mod screen;

pub use problems::{Problem, decide_problems};
pub use report::{Health, Report};
pub use screen::screen;

use crate::answer::{exit, json, say};
use crate::machine::Machine;

/// Shows the machine's state.
///
/// # Errors
/// This is not a Keelson machine, or PID 1 does not answer.
pub fn status(machine: &Machine, as_json: bool) -> anyhow::Result<u8> {
    let report = Report::gather(machine)?;
    say(&if as_json { json(&report)? } else { screen(&report) });
    Ok(if report.well { exit::GOOD } else { exit::BAD })
}

#[cfg(test)]
#[path = "status_test.rs"]
mod tests;
