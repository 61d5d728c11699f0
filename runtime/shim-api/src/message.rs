//! The messages: requests, their outcomes and notices, all JSON objects, unknown fields ignored.
//!
//! Types only: no I/O, no decision.

use crate::exit::ExitRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Name in the first frame of either side.
pub const PROTOCOL: &str = "keelson-shim";
/// Version of the protocol. Raised only when an old peer would misunderstand; new fields do not raise it.
pub const VERSION: u32 = 1;

/// First frame each way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Always [`PROTOCOL`].
    pub protocol: String,
    /// The version the sender speaks.
    pub version: u32,
}

impl Hello {
    /// The hello of this build.
    pub fn ours() -> Self {
        Self {
            protocol: PROTOCOL.to_owned(),
            version: VERSION,
        }
    }

    /// Whether a peer that said this can be talked to.
    pub fn is_compatible(&self) -> bool {
        self.protocol == PROTOCOL && self.version == VERSION
    }
}

/// A request; `id` comes back in its outcome. Ids are the client's and need only differ among those outstanding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Repeated in the outcome.
    pub id: u64,
    /// What is asked.
    #[serde(flatten)]
    pub body: RequestBody,
}

/// What the engine may ask. `process` is absent for the container's first process, else an exec id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum RequestBody {
    /// Runs the program of a created container. Outcome: `Done`, or the failure of the last steps (not found, …).
    Start,
    /// Sends a signal.
    Kill {
        /// Whom; absent for the first process.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<String>,
        /// Signal number.
        signal: i32,
        /// Every process of the container (`cgroup.kill` when the signal is SIGKILL).
        #[serde(default)]
        all: bool,
    },
    /// Asks for a [`ShimState`].
    State,
    /// Starts one more process. Outcome: `Started`, with descriptors as for `Attach`.
    Exec {
        /// Chosen by the client, unique for the container's life.
        exec: String,
        /// The OCI `process` object.
        process: Value,
        /// Streams the client wants; others are /dev/null. With `process.terminal` one stream carries all.
        streams: Streams,
    },
    /// Sets a terminal's size.
    Resize {
        /// Which terminal; absent for the first process's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<String>,
        /// Character rows.
        rows: u16,
        /// Character columns.
        columns: u16,
    },
    /// Joins the first process's streams from now on. Outcome: `Attached`, then descriptors of the streams asked for,
    /// in the order stdin (write), stdout (read), stderr (read). With a terminal stderr never comes: all is stdout.
    Attach {
        /// Streams wanted.
        streams: Streams,
        /// Close the process's stdin when this client's stdin ends (Docker's StdinOnce).
        #[serde(default)]
        close_stdin: bool,
    },
    /// Outcome `Exited` as soon as the process has ended, at once if it has.
    Wait {
        /// Whom; absent for the first process.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<String>,
    },
    /// Changes limits; an OCI `linux.resources` object, absent members unchanged.
    Update {
        /// The resources.
        resources: Value,
    },
    /// Freezes every process.
    Pause,
    /// Thaws them.
    Resume,
    /// Becomes a new copy of itself, from this program: an update of the userland need not stop a container. The new copy
    /// answers `Done`; connections, streams and waiting requests go on. Only after `Start`.
    Reexec {
        /// Absolute path.
        program: PathBuf,
    },
    /// From now on this connection gets [`Notice`] packets.
    Subscribe,
    /// Removes the stopped container (cgroup, state, poststop hooks) and ends the shim after the outcome is sent.
    Delete {
        /// Kill it first if it runs.
        #[serde(default)]
        force: bool,
    },
}

/// A choice of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Streams {
    /// The process's input.
    #[serde(default)]
    pub stdin: bool,
    /// Its output (or its terminal).
    #[serde(default)]
    pub stdout: bool,
    /// Its error output.
    #[serde(default)]
    pub stderr: bool,
}

/// What the shim sends after its hello.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Packet {
    /// Answer to one request.
    Outcome {
        /// The request's id.
        id: u64,
        /// How many descriptors belong to it.
        #[serde(default)]
        fds: u8,
        /// The answer.
        outcome: Outcome,
    },
    /// Unasked, after `Subscribe`.
    Notice {
        /// What happened.
        notice: Notice,
    },
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing more to say.
    Done,
    /// Answer to `State`.
    State {
        /// The state.
        state: ShimState,
    },
    /// Answer to `Exec`: the process runs.
    Started {
        /// Its process id in the host's namespace.
        pid: i32,
    },
    /// Answer to `Attach`.
    Attached,
    /// Answer to `Wait`.
    Exited {
        /// How it ended.
        exit: ExitRecord,
    },
    /// Refused or failed.
    Failed {
        /// Why.
        failure: Failure,
    },
}

/// A failure: the step, what it was about and why, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What the engine decides by.
    pub kind: FailureKind,
    /// One line: step, path and cause.
    pub message: String,
}

/// Classes of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The program was not found in the container: Docker's exit code 127.
    NotFound,
    /// The program cannot be executed (mode, directory, format): Docker's exit code 126.
    NotExecutable,
    /// Not possible in the present state (already started, paused, exec id in use, no such exec).
    Conflict,
    /// The request or specification makes no sense.
    Invalid,
    /// Anything else; also every kind this build does not know.
    #[serde(other)]
    Internal,
}

impl FailureKind {
    /// Docker's exit code for a container or exec that could not start.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::NotFound => 127,
            Self::NotExecutable => 126,
            Self::Conflict | Self::Invalid | Self::Internal => 128,
        }
    }
}

/// Unasked news.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "kebab-case")]
pub enum Notice {
    /// A process ended.
    Exited {
        /// Exec id, or absent for the first process.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<String>,
        /// How.
        exit: ExitRecord,
    },
    /// The kernel killed something in the container for memory.
    Oom,
}

/// Where the container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Made, program not yet run.
    Created,
    /// Running.
    Running,
    /// Frozen.
    Paused,
    /// First process gone.
    Stopped,
}

/// Answer to `State`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShimState {
    /// Container id.
    pub id: String,
    /// Where it stands.
    pub phase: Phase,
    /// First process, in the host's namespace; also after it has gone.
    pub pid: i32,
    /// The shim itself.
    pub shim_pid: i32,
    /// Directory of the container's cgroup.
    pub cgroup: String,
    /// When the program was started: nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    /// How it ended, when it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitRecord>,
    /// Exec ids still running, with their process ids.
    #[serde(default)]
    pub execs: BTreeMap<String, i32>,
}
