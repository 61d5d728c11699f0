//! What PID 1 knows about one unit at run time: where it stands, apart from where it should stand.

use std::collections::VecDeque;
use std::time::Duration;

use keelson_manager_api::{UnitState, UnitStatus};
use serde::{Deserialize, Serialize};

use super::event::Connection;
use crate::unit::{Kill, Service, Unit};

/// Where a unit should stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// Running, or done.
    Up,
    /// Not running.
    Down,
}

/// Where a unit stands. Times are on the monotonic clock.
///
/// ```text
/// Stopped → Waiting → Starting → Running → Stopping → Stopped
///              ↑          │         │          ├→ Done (oneshot)
///              │          └─────────┴──→ … ────┼→ Failed
///              └────────── BackOff ←───────────┘
/// ```
/// Every way out of Starting and Running leads through Stopping, which lasts until the main process is reaped and the
/// control group is empty. (A target goes from Waiting to Running and back to Stopped at once.)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Not running.
    Stopped,
    /// Wanted; waits for what it needs.
    Waiting,
    /// Spawned, not ready.
    Starting {
        /// When it counts as failed.
        deadline: Duration,
    },
    /// Ready.
    Running,
    /// A oneshot that ended well.
    Done,
    /// Ending.
    Stopping {
        /// When more force is used.
        deadline: Duration,
        /// Whether it was killed already.
        killed: bool,
        /// What comes after.
        then: Then,
    },
    /// Ended; will be started again.
    BackOff {
        /// When.
        until: Duration,
    },
    /// Given up.
    Failed,
}

/// What comes after a unit has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// It stays down: that was asked for.
    Down,
    /// It is started again: that was asked for.
    Again,
    /// It ended by itself, or had to be ended; its restart policy decides.
    Judge(Outcome),
}

/// How a unit ended by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Code 0 when that is allowed.
    Clean,
    /// Anything else, for people.
    Failure(String),
}

/// The main process of a unit, from spawn until it is reaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Why the exec helper could not become the program.
    pub exec_failure: Option<String>,
}

/// Starts and failures that count against the restart budget.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    /// When it was started, oldest first; at most `burst` are kept.
    pub starts: VecDeque<Duration>,
    /// Ends in a row without having run for a while.
    pub ends: u32,
}

/// Somebody who waits for a unit to come up or go down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    /// Where the reply goes.
    pub connection: Connection,
    /// To which request.
    pub id: u64,
    /// What is waited for.
    pub goal: Wish,
}

/// A unit at run time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What its file says.
    pub unit: Unit,
    /// Where it should stand.
    pub wish: Wish,
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Duration,
    /// When its process was first started.
    #[serde(default)]
    pub first_started: Option<Duration>,
    /// When it was first up.
    #[serde(default)]
    pub first_up: Option<Duration>,
    /// A `Spawn` was asked for and not answered.
    pub spawning: bool,
    /// The main process.
    pub process: Option<Process>,
    /// Whether the control group has processes.
    pub group_populated: bool,
    /// When `WATCHDOG=1` is overdue.
    pub watchdog_due: Option<Duration>,
    /// Against the restart budget.
    pub history: History,
    /// Automatic restarts since the last start on request.
    pub restarts: u32,
    /// Last `STATUS=`.
    pub status: Option<String>,
    /// What went wrong last.
    pub failure: Option<String>,
    /// Who waits.
    pub waiters: Vec<Waiter>,
}

impl Entry {
    /// A unit nobody has asked for yet.
    #[must_use]
    pub fn new(unit: Unit) -> Self {
        Entry {
            unit,
            wish: Wish::Down,
            state: State::Stopped,
            since: Duration::ZERO,
            first_started: None,
            first_up: None,
            spawning: false,
            process: None,
            group_populated: false,
            watchdog_due: None,
            history: History::default(),
            restarts: 0,
            status: None,
            failure: None,
            waiters: Vec::new(),
        }
    }

    /// How its process is run; `None` for a target.
    #[must_use]
    pub fn service(&self) -> Option<&Service> {
        self.unit.service.as_ref()
    }

    /// Whether something of it still has to end before the unit counts as down.
    #[must_use]
    pub fn has_remains(&self) -> bool {
        let whole_group = self.service().is_some_and(|service| service.kill == Kill::Group);
        self.spawning || self.process.is_some() || (whole_group && self.group_populated)
    }

    /// Whether it has to be stopped before what it needs can be stopped.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !matches!(self.state, State::Stopped | State::Failed | State::Done)
    }

    /// Whether what needs it may start.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Running | State::Done)
    }

    /// The moment at which time alone changes it.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Starting { deadline } | State::Stopping { deadline, .. } => Some(deadline),
            State::BackOff { until } => Some(until),
            State::Running => self.watchdog_due,
            State::Stopped | State::Waiting | State::Done | State::Failed => None,
        }
    }

    /// As seen from outside.
    #[must_use]
    pub fn to_status(&self) -> UnitStatus {
        UnitStatus {
            name: self.unit.name.clone(),
            description: self.unit.description.clone(),
            kind: self.unit.kind,
            state: self.outer_state(),
            since_ms: u64::try_from(self.since.as_millis()).unwrap_or(u64::MAX),
            started_us: self.first_started.map(micros),
            up_us: self.first_up.map(micros),
            main_pid: self.process.as_ref().map(|process| process.pid),
            restarts: self.restarts,
            status: self.status.clone(),
            failure: self.failure.clone(),
        }
    }

    fn outer_state(&self) -> UnitState {
        match self.state {
            State::Stopped => UnitState::Stopped,
            State::Waiting => UnitState::Waiting,
            State::Starting { .. } => UnitState::Starting,
            State::Running => UnitState::Running,
            State::Done => UnitState::Done,
            State::Stopping { .. } => UnitState::Stopping,
            State::BackOff { .. } => UnitState::BackOff,
            State::Failed => UnitState::Failed,
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
