//! What can be asked of PID 1 and what it answers. Plain values; nothing here touches a socket.

use serde::{Deserialize, Serialize};

/// Name of the protocol, in the first packet each way.
pub const PROTOCOL: &str = "keelson-manager";
/// Version this library speaks.
pub const VERSION: u32 = 1;

/// First packet each way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Always [`PROTOCOL`].
    pub protocol: String,
    /// Highest version the sender speaks.
    pub version: u32,
}

impl Hello {
    /// The greeting of this library.
    #[must_use]
    pub fn ours() -> Self {
        Hello {
            protocol: PROTOCOL.to_owned(),
            version: VERSION,
        }
    }

    /// Whether the other side can be talked to.
    #[must_use]
    pub fn is_compatible(&self) -> bool {
        self.protocol == PROTOCOL && self.version >= 1
    }
}

/// A request with the id its reply will carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestFrame {
    /// Chosen by the client; not interpreted.
    pub id: u64,
    /// What is asked.
    #[serde(flatten)]
    pub request: Request,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// Every unit; answered with [`Reply::Units`].
    List,
    /// One unit; answered with [`Reply::Unit`].
    Status {
        /// Name of the unit.
        unit: String,
    },
    /// Start a unit and what it needs; answered when it is up or has failed.
    Start {
        /// Name of the unit.
        unit: String,
    },
    /// Stop a unit and what requires it; answered when it is down.
    Stop {
        /// Name of the unit.
        unit: String,
    },
    /// Stop and start one unit, leaving what requires it alone; answered when it is up again or has failed.
    Restart {
        /// Name of the unit.
        unit: String,
    },
    /// Orderly reboot; answered at once.
    Reboot {
        /// What the boot history shall say.
        #[serde(flatten)]
        words: Words,
    },
    /// Orderly power off; answered at once.
    PowerOff {
        /// What the boot history shall say.
        #[serde(flatten)]
        words: Words,
    },
    /// PID 1 starts a new copy of itself that takes over everything; answered at once.
    Reexec,
    /// Notices from now on; answered at once.
    Subscribe,
}

impl Request {
    /// Whether the request changes something, and so needs authority.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        !matches!(self, Request::List | Request::Status { .. } | Request::Subscribe)
    }
}

/// What a caller says about itself and its wish; kept for people, never trusted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Words {
    /// The person on whose behalf it asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// The reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A reply with the id of its request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyFrame {
    /// The request's id.
    pub id: u64,
    /// The answer.
    #[serde(flatten)]
    pub reply: Reply,
}

/// What PID 1 answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// Done, or under way where the request says so.
    Done,
    /// Every unit, by name.
    Units {
        /// In alphabetical order.
        units: Vec<UnitStatus>,
    },
    /// One unit.
    Unit {
        /// Its state.
        unit: UnitStatus,
    },
    /// Not done.
    Refused {
        /// Why, for programs.
        refusal: Refusal,
        /// Why, for people.
        message: String,
    },
}

/// Why a request was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The packet is no request of this protocol.
    Malformed,
    /// The caller's control group may not ask for this.
    NotAllowed,
    /// There is no unit of this name.
    NoSuchUnit,
    /// The unit could not be started.
    Failed,
    /// A later request for the same unit took its place.
    Superseded,
    /// The machine is going down.
    ShuttingDown,
    /// The answer does not fit into a packet.
    TooLarge,
    /// A reason this version of the library does not know.
    #[serde(other)]
    Unknown,
}

/// What a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A process that keeps running.
    Service,
    /// A process that does one thing and ends.
    Oneshot,
    /// A point in the boot, without a process.
    Target,
}

/// Where a unit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitState {
    /// Not running, and not wanted.
    Stopped,
    /// Wanted; waits for what it needs.
    Waiting,
    /// Its process runs but is not ready.
    Starting,
    /// Ready (a target: reached).
    Running,
    /// A one-shot that ended well.
    Done,
    /// Being stopped.
    Stopping,
    /// Will be started again after a delay.
    BackOff,
    /// Given up; `failure` says why.
    Failed,
}

/// One unit as seen from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitStatus {
    /// Name, the stem of its file.
    pub name: String,
    /// From the unit file.
    pub description: String,
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub state: UnitState,
    /// When it came to this state, milliseconds on the monotonic clock.
    pub since_ms: u64,
    /// When its process was first started on this boot, microseconds on the monotonic clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_us: Option<u64>,
    /// When it was first up (ready, done or reached) on this boot, microseconds on the monotonic clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_us: Option<u64>,
    /// Main process, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main_pid: Option<i32>,
    /// Automatic restarts since it was last started on request.
    #[serde(default)]
    pub restarts: u32,
    /// The last `STATUS=` line of the unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What went wrong last, while it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// How the machine goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerKind {
    /// Start again.
    Reboot,
    /// Switch off.
    PowerOff,
}

/// What a subscriber is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "kebab-case")]
pub enum Notice {
    /// A unit changed its state.
    UnitChanged {
        /// As it is now.
        unit: UnitStatus,
    },
    /// Everything the boot requires is up.
    BootComplete,
    /// The machine is going down; sent before the first unit is stopped.
    ShuttingDown {
        /// How.
        kind: PowerKind,
    },
    /// A notice this version of the library does not know.
    #[serde(other)]
    Unknown,
}

/// Anything PID 1 sends after its greeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FromManager {
    /// The answer to a request.
    Reply(ReplyFrame),
    /// Something a subscriber wants to know.
    Notice(Notice),
}
