//! What the engine writes for a shim before it starts it, and the one line the shim answers with.
//!
//! The engine makes a bundle directory with `config.json` (OCI) and `shim.json` ([`ShimConfig`]), then runs
//! `keelson-shim BUNDLE` with a pipe as its stdout, and reads one [`LaunchReport`] line from it.

use crate::message::Failure;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Name of the configuration's file in the bundle.
pub const CONFIG_FILE: &str = "shim.json";

/// Launch configuration of a shim: `BUNDLE/shim.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimConfig {
    /// Container id: letters, digits, `_`, `.`, `-`, `+`.
    pub id: String,
    /// Its name for people, without a slash; the journal's CONTAINER_NAME.
    pub name: String,
    /// Image reference; the journal's IMAGE_NAME.
    #[serde(default)]
    pub image: String,
    /// The journal's CONTAINER_TAG and SYSLOG_IDENTIFIER; the name if empty.
    #[serde(default)]
    pub tag: String,
    /// Directory under which the OCI runtime keeps its state (as `keelson-oci --root`).
    pub runtime_root: PathBuf,
    /// Where the shim listens; the directory must exist. Mode 0600.
    pub socket: PathBuf,
    /// Where the [`crate::ExitRecord`] is written, durably; its directory must exist.
    pub exit_file: PathBuf,
    /// cgroup directory the shim moves itself into, made if missing; absent: it stays.
    #[serde(default)]
    pub shim_cgroup: Option<PathBuf>,
    /// Keep the first process's stdin open (`docker run -i`); otherwise it is /dev/null.
    #[serde(default)]
    pub open_stdin: bool,
    /// Where output goes besides attached clients.
    #[serde(default)]
    pub log: LogConfig,
}

/// Where output goes. Both may be on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// The journal's native socket; absent: none.
    #[serde(default)]
    pub journal: Option<PathBuf>,
    /// A file of JSON lines (`docs/formats/shim.md`); absent: none. Rotated to `PATH.1`, `PATH.2`, ….
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Bytes at which the file is rotated.
    #[serde(default = "default_max_bytes")]
    pub max_bytes: u64,
    /// Files kept, the current one included; at least 1.
    #[serde(default = "default_max_files")]
    pub max_files: u32,
}

fn default_max_bytes() -> u64 {
    10 << 20
}

fn default_max_files() -> u32 {
    2
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            journal: None,
            file: None,
            max_bytes: default_max_bytes(),
            max_files: default_max_files(),
        }
    }
}

/// One line of a log file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was read from the process: nanoseconds since 1970.
    pub time: u64,
    /// `stdout` or `stderr`.
    pub stream: LogStream,
    /// The bytes as text, invalid UTF-8 replaced; the newline that ended the line is part of it.
    pub text: String,
}

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogStream {
    /// Output, or a terminal.
    Stdout,
    /// Error output.
    Stderr,
}

/// The line a shim prints on its stdout when the container is created and the socket is served, or when it gave up
/// (it then exits with 1). After it the shim closes stdout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "launch", rename_all = "kebab-case")]
pub enum LaunchReport {
    /// Ready for `Attach` and `Start`.
    Created {
        /// The container's first process.
        pid: i32,
        /// The shim.
        shim_pid: i32,
    },
    /// Nothing is left behind.
    Failed {
        /// Why.
        failure: Failure,
    },
}
