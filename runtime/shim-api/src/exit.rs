//! How a process ended; also the content of `exit.json`, which outlives the shim.

use serde::{Deserialize, Serialize};

/// End of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Exit code as Docker reports it: 0–255, 128 + signal for a killed process.
    pub code: i32,
    /// The signal that killed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// The kernel killed some process of the container for memory during its life.
    #[serde(default)]
    pub oom_killed: bool,
    /// When the program was started: nanoseconds since 1970; absent if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    /// When its end was seen: nanoseconds since 1970.
    pub finished_at: u64,
}

impl ExitRecord {
    /// From a wait status's parts: the code of an exit, or the killing signal.
    pub fn new(code: Option<i32>, signal: Option<i32>, finished_at: u64) -> Self {
        let shown = code.unwrap_or_else(|| 128_i32.saturating_add(signal.unwrap_or(0)));
        Self {
            code: shown,
            signal,
            oom_killed: false,
            started_at: None,
            finished_at,
        }
    }
}
