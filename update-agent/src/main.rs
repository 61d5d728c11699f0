//! `keelson-update`: what is known of the two slots, and committing the running one.
//!
//! Verbs: `mark-good`, run once by PID 1 when `boot-complete` is reached; `status`, for people and programs.

mod boot;
mod confirm;
mod mark_good;
mod status;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

fn main() -> ExitCode {
    keelson_daemon::init_logging("keelson-update");
    keelson_daemon::report(run(&std::env::args().skip(1).collect::<Vec<_>>()))
}

fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let text = match words.as_slice() {
        ["mark-good"] => mark_good::run(&boot::read()?)?,
        ["status"] => status::text(&status::read(&boot::read()?)?),
        ["status", "--json"] => status::json(&status::read(&boot::read()?)?)?,
        _ => bail!("usage: keelson-update mark-good | status [--json]"),
    };
    std::io::stdout().write_all(text.as_bytes()).context("print")
}
