//! `keelson-update`: what is known of the two slots, committing the running one, and going back to the other.
//!
//! Verbs: `mark-good`, run once by PID 1 when `boot-complete` is reached; `rollback`, run by PID 1 on an operator's
//! wish; `status`, for people and programs; `serve`, the daemon that brings releases.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;

fn main() -> ExitCode {
    if std::env::args().skip(1).eq(["serve"]) {
        return keelson_update::serve();
    }
    keelson_daemon::init_logging("keelson-update");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let printed =
        keelson_update::run(&arguments).and_then(|text| std::io::stdout().write_all(text.as_bytes()).context("print"));
    keelson_daemon::report(printed)
}
