//! Failures, on stderr and in the file that callers of runtimes read them from.

use crate::cli::arguments::Arguments;
use keelson_oci::state::rfc3339;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Says what failed.
pub fn failure(arguments: &Arguments, error: &anyhow::Error) {
    let message = format!("{error:#}");
    let _ = writeln!(std::io::stderr(), "keelson-oci: {message}");
    let Some(path) = &arguments.log else { return };
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let time = rfc3339(seconds);
    let line = if arguments.log_format == "json" {
        serde_json::json!({"level": "error", "msg": message, "time": time}).to_string()
    } else {
        format!("time={time:?} level=error msg={message:?}")
    };
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
        let _ = writeln!(file, "{line}");
    }
}
