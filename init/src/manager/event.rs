//! Everything that can happen to PID 1. Values only.

use keelson_image_layout::boot_history::Asker;
use keelson_manager_api::Request;
use serde::{Deserialize, Serialize};

/// A connection on the control socket; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Connection(pub u64);

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The machine is ready for units.
    Boot,
    /// Time passed; deadlines are looked at after every event anyway.
    Tick,
    /// A `Spawn` action put this process into the unit's control group.
    Spawned {
        /// Whose.
        unit: String,
        /// Its id.
        pid: i32,
    },
    /// A `Spawn` action came to nothing.
    SpawnFailed {
        /// Whose.
        unit: String,
        /// What failed, for people.
        reason: String,
    },
    /// A `Spawn` action found that there is nothing for the unit to do.
    Unneeded {
        /// Whose.
        unit: String,
    },
    /// The exec helper became the unit's program.
    Executed {
        /// Whose.
        unit: String,
    },
    /// The exec helper could not become the unit's program; it will exit.
    ExecFailed {
        /// Whose.
        unit: String,
        /// Step and error, for people.
        reason: String,
    },
    /// A child was reaped; it may be an orphan nobody knows.
    Exited {
        /// Its id.
        pid: i32,
        /// How.
        exit: Exit,
    },
    /// A process of the unit said something on the notify socket.
    Notified {
        /// Whose.
        unit: String,
        /// What.
        message: Notification,
    },
    /// The unit's control group has no processes left.
    GroupEmpty {
        /// Whose.
        unit: String,
    },
    /// Somebody knocks at a socket of the unit that starts it.
    Called {
        /// Whose.
        unit: String,
    },
    /// A request on the control socket.
    Asked {
        /// Where the reply goes.
        connection: Connection,
        /// The request's id.
        id: u64,
        /// What the caller may do.
        authority: Authority,
        /// The unit the caller belongs to.
        unit: Option<String>,
        /// What is asked.
        request: Request,
    },
    /// A connection ended; nobody waits for its replies.
    Disconnected {
        /// Which.
        connection: Connection,
    },
    /// Ctrl-Alt-Del or SIGINT.
    AskedToReboot {
        /// Which of them.
        asker: Asker,
    },
    /// The power button or SIGTERM.
    AskedToPowerOff {
        /// Which of them.
        asker: Asker,
    },
    /// SIGUSR1.
    AskedToReexec,
    /// No child is left at all.
    NoChildren,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exited with code {code}"),
            Exit::Signal(number) => write!(f, "killed by signal {number}"),
        }
    }
}

/// One datagram of the readiness protocol, reduced to what matters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notification {
    /// `READY=1`.
    pub ready: bool,
    /// `STOPPING=1`.
    pub stopping: bool,
    /// `WATCHDOG=1`.
    pub watchdog: bool,
    /// `STATUS=`.
    pub status: Option<String>,
}

/// What the other end of a control connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authority {
    /// Nothing: a container, or a process that is gone.
    Nothing,
    /// Look.
    Read,
    /// Look and change.
    Control,
}
