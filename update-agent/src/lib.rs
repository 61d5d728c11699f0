//! The update agent: what is known of the two slots, committing the running one, and bringing a release into the other.

pub mod agent;
mod boot;
mod commit_task;
mod confirm;
mod daemon;
pub mod health;
mod leave;
mod mark_good;
mod status;
pub mod transfer;
mod words;

pub use daemon::run as serve;

use anyhow::{Result, bail};

/// Carries out a verb and its arguments; what to print.
///
/// # Errors
/// For people.
pub fn run(arguments: &[String]) -> Result<String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["mark-good"] => mark_good::run(&boot::read()?, &health::Machine::default()),
        ["rollback"] => leave::roll_back(&boot::read()?, &health::Machine::default()).map(|()| String::new()),
        ["status"] => Ok(status::text(&status::read(&boot::read()?)?)),
        ["status", "--json"] => status::json(&status::read(&boot::read()?)?),
        _ => bail!("usage: keelson-update mark-good | rollback | status [--json]"),
    }
}
