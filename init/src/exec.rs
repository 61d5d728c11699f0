//! Exec helper.
use std::process::ExitCode;

/// Runs the helper.
#[must_use]
pub fn run() -> ExitCode {
    ExitCode::FAILURE
}
