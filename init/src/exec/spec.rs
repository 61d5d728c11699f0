//! What PID 1 tells the exec helper about the program to become. Written to a memfd as JSON by one copy of this
//! program and read by another copy of the same file, so its form may change freely.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::unit::{Seccomp, Stdout};

/// Everything the helper needs; it looks nothing up but names of users and groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSpec {
    /// The unit, for the journal and messages.
    pub unit: String,
    /// Program and arguments.
    pub exec: Vec<String>,
    /// User name or number.
    pub user: String,
    /// Further groups.
    pub groups: Vec<String>,
    /// Capabilities to keep; `None`: all for root, none for others.
    pub capabilities: Option<Vec<String>>,
    /// Never gain privileges again.
    pub no_new_privs: bool,
    /// Named filter.
    pub seccomp: Seccomp,
    /// The whole environment, but for `LISTEN_PID`.
    pub environment: BTreeMap<String, String>,
    /// Where output goes.
    pub stdout: Stdout,
    /// Where it goes if the journal does not answer.
    pub without_journal: WithoutJournal,
    /// Written to `/proc/self/oom_score_adj`.
    pub oom_score_adj: Option<i16>,
    /// Names of the sockets, which are open from descriptor 3 on.
    pub sockets: Vec<String>,
}

/// Where output goes if the journal does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WithoutJournal {
    /// The kernel log.
    KernelLog,
    /// Where PID 1's own output goes (in a container).
    Inherit,
}
