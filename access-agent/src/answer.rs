//! How every command answers: text or one JSON document on standard output, and an exit code.

use std::io::Write as _;

use anyhow::Context as _;

/// Exit codes, the same for every command.
pub mod exit {
    /// Asked for and true, or done.
    pub const GOOD: u8 = 0;
    /// Asked for and false: the machine is not well, the document is invalid, the service did not come up.
    pub const BAD: u8 = 1;
    /// The words are no command, or the document is of a kind that this release does not read.
    pub const USAGE: u8 = 2;
    /// Not allowed.
    pub const NOT_ALLOWED: u8 = 3;
    /// Nothing could be asked: a file or a socket is missing.
    pub const FAILED: u8 = 4;
}

/// Writes an answer. A reader that has gone away is no failure.
pub fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Writes what went wrong.
pub fn complain(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// A value as the JSON document of an answer.
///
/// # Errors
/// It has no form in JSON.
pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value).context("write the answer as JSON")? + "\n")
}
