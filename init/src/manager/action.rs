//! Everything PID 1 may do as a consequence of an event. The system stage performs actions in order; a failure comes
//! back as an event.

use keelson_image_layout::boot_history::Asker;
use keelson_manager_api::{Notice, PowerKind, Reply};

use super::event::Connection;

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start the exec helper for this unit; answered by `Spawned`, `SpawnFailed` or `Unneeded` before any other event.
    Spawn {
        /// Which.
        unit: String,
    },
    /// Send a signal to a process that was spawned and not yet reaped.
    Signal {
        /// Which.
        pid: i32,
        /// Number.
        signal: i32,
    },
    /// Kill everything in the unit's control group.
    KillGroup {
        /// Whose.
        unit: String,
    },
    /// Remove the unit's control group, which is empty.
    RemoveGroup {
        /// Whose.
        unit: String,
    },
    /// Answer a request.
    Reply {
        /// Where.
        connection: Connection,
        /// To which.
        id: u64,
        /// The answer.
        reply: Reply,
    },
    /// Tell a subscriber.
    Notify {
        /// Whom.
        connection: Connection,
        /// What.
        notice: Notice,
    },
    /// Tell people.
    Report(Report),
    /// Everything the boot requires is up.
    BootComplete,
    /// Leave word that the machine is going down, before the first unit is stopped.
    AnnounceEnd {
        /// How.
        kind: PowerKind,
        /// Who asked for it.
        asker: Asker,
    },
    /// Signal every process but PID 1.
    SignalAll {
        /// Number.
        signal: i32,
    },
    /// Hand over to a new copy of this program.
    Reexec,
    /// Unmount, sync, and go down. The last action.
    Finish {
        /// How.
        kind: PowerKind,
    },
}

/// A line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who should see it.
    pub level: Level,
    /// The line, without a prefix.
    pub text: String,
}

/// Who should see a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Console: something went wrong.
    Failure,
    /// Console: a step of the machine's life.
    Milestone,
    /// Kernel log only.
    Detail,
}
