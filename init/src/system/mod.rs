//! System stage.
use std::process::ExitCode;

/// Runs the system stage.
#[must_use]
pub fn run(_arguments: &[String]) -> ExitCode {
    ExitCode::FAILURE
}
