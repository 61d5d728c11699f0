//! The life of one container as a pure state machine: no clock, no I/O, no knowledge of Docker's
//! JSON. Time comes in with the event; what has to be done goes out as [`Effect`]s.
//!
//! ```text
//!            Start                Launched
//!  Created ────────► Starting ───────────────► Running ◄───────────┐
//!     ▲                 │  ▲                      │                │
//!     │    LaunchFailed │  │ Due (timer)          │ Ended          │ Launched
//!     └─────────────────┤  │                      ▼                │
//!            Exited ◄───┴──┼───────────── policy, wish ──► Starting┘ (wish: run again)
//!               │          └── Restarting ◄───────┘
//!               │ Remove
//!               ▼
//!            Removing ──► gone          (RemoveFailed: Dead, which may be removed again)
//! ```

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::restart::{Backoff, RestartPolicy, decide_restart};

/// Where a container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Made, never run.
    #[default]
    Created,
    /// Being set up; its process does not run yet.
    Starting,
    /// Its process runs.
    Running,
    /// Ended; runs again when its delay is over.
    Restarting,
    /// Ended.
    Exited,
    /// Being removed.
    Removing,
    /// Could not be removed whole.
    Dead,
}

impl Phase {
    /// Docker's word for it.
    pub fn docker_name(self) -> &'static str {
        match self {
            Phase::Created | Phase::Starting => "created",
            Phase::Running => "running",
            Phase::Restarting => "restarting",
            Phase::Exited => "exited",
            Phase::Removing => "removing",
            Phase::Dead => "dead",
        }
    }
}

/// What was asked for last, apart from what is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// Run; the restart policy holds.
    #[default]
    Run,
    /// Stopped by hand; the restart policy is silent.
    Stop,
    /// Once ended, start at once (a restart by hand).
    RunAgain,
    /// Once ended, remove.
    Remove,
}

/// The state of one container, as kept in its record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ContainerState {
    /// Where it stands.
    pub phase: Phase,
    /// What was asked for last.
    pub wish: Wish,
    /// Its end was asked for and has not come: an engine that finds it running asks again. The wish
    /// alone does not say so, since a signal sent by hand makes it [`Wish::Stop`] too.
    pub stopping: bool,
    /// Its processes are frozen.
    pub paused: bool,
    /// Process id on the host while running.
    pub pid: Option<u32>,
    /// Exit code of the last run, as Docker counts (137 for a kill).
    pub exit_code: i32,
    /// The last run ended because its memory was used up.
    pub oom_killed: bool,
    /// Why the last start failed; empty otherwise.
    pub error: String,
    /// When the last run began.
    pub started_at: Option<Timestamp>,
    /// When the last run ended.
    pub finished_at: Option<Timestamp>,
    /// Restarts by policy since it was started by hand.
    pub restart_count: u32,
    /// The row of restart delays.
    pub backoff: Backoff,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Exit code, 128 + signal for a death by signal.
    pub code: i32,
    /// Memory was used up.
    pub oom_killed: bool,
    /// When.
    pub at: Timestamp,
}

/// What can happen to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Someone asks for it to run.
    Start,
    /// The delay of a restart is over.
    Due,
    /// Its process runs.
    Launched {
        /// Process id on the host.
        pid: u32,
        /// When.
        at: Timestamp,
    },
    /// It could not be started.
    LaunchFailed {
        /// Exit code Docker shows for it: 126, 127 or 128.
        code: i32,
        /// Why.
        error: String,
        /// When.
        at: Timestamp,
    },
    /// Its process ended.
    Ended(Ending),
    /// Someone asks for it to end.
    Stop,
    /// Someone asks for it to end and start again.
    Restart,
    /// A signal was sent that should keep it ended.
    KilledByHand,
    /// Someone asks for it to be removed.
    Remove {
        /// Even if it runs.
        force: bool,
    },
    /// It could not be removed whole.
    RemoveFailed {
        /// Why.
        error: String,
    },
}

/// What has to be done after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Set it up and start its process.
    Launch,
    /// Send its stop signal, and kill it when patience ends.
    Terminate,
    /// Kill it now.
    Kill,
    /// Come back with [`Event::Due`] after this delay.
    ScheduleRestart(Duration),
    /// The delay is void.
    CancelRestart,
    /// Its run is over and it will not start by itself: tell those who wait.
    Settled,
    /// It was to run and could not; those who wait for an end go on waiting.
    NotStarted,
    /// Remove what belongs to it on disk.
    Delete,
}

/// Why a request is not legal now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing to do: it runs.
    #[error("container is already running")]
    AlreadyRunning,
    /// Nothing to do: it does not run.
    #[error("container is already stopped")]
    AlreadyStopped,
    /// It must run for this.
    #[error("container is not running")]
    NotRunning,
    /// Removing was asked for without force.
    #[error("container is running: stop the container before removing or force remove")]
    StillRunning,
    /// It is on its way out.
    #[error("removal of container is already in progress")]
    RemovalInProgress,
    /// It was dead already.
    #[error("container is marked for removal and cannot be started")]
    Dead,
}

impl ContainerState {
    /// Whether a process of it may exist.
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Starting)
    }

    /// Docker's word for where it stands.
    pub fn docker_name(&self) -> &'static str {
        match self.phase {
            Phase::Running if self.paused => "paused",
            phase => phase.docker_name(),
        }
    }

    /// How long the last run lasted; zero if it never ran.
    pub fn ran(&self, until: Timestamp) -> Duration {
        self.started_at
            .and_then(|start| Duration::try_from(until.duration_since(start)).ok())
            .unwrap_or_default()
    }

    /// One step.
    ///
    /// # Errors
    /// The event is a request that is not legal now; the state is unchanged.
    pub fn step(&mut self, policy: RestartPolicy, event: Event) -> Result<Vec<Effect>, Refusal> {
        match event {
            Event::Start => self.start(),
            Event::Due => Ok(self.due()),
            Event::Launched { pid, at } => Ok(self.launched(pid, at)),
            Event::LaunchFailed { code, error, at } => Ok(self.launch_failed(policy, code, error, at)),
            Event::Ended(ending) => Ok(self.ended(policy, &ending)),
            Event::Stop => self.stop(),
            Event::Restart => self.restart(),
            Event::KilledByHand => self.killed_by_hand(),
            Event::Remove { force } => self.remove(force),
            Event::RemoveFailed { error } => {
                self.phase = Phase::Dead;
                self.error = error;
                Ok(vec![])
            }
        }
    }

    fn start(&mut self) -> Result<Vec<Effect>, Refusal> {
        let effects = match self.phase {
            Phase::Created | Phase::Exited => vec![Effect::Launch],
            Phase::Restarting => vec![Effect::CancelRestart, Effect::Launch],
            Phase::Running | Phase::Starting => return Err(Refusal::AlreadyRunning),
            Phase::Removing => return Err(Refusal::RemovalInProgress),
            Phase::Dead => return Err(Refusal::Dead),
        };
        self.begin_launch();
        self.restart_count = 0;
        self.backoff = Backoff::default();
        Ok(effects)
    }

    fn begin_launch(&mut self) {
        self.phase = Phase::Starting;
        self.paused = false;
        self.wish = Wish::Run;
        self.stopping = false;
        self.error.clear();
        self.oom_killed = false;
    }

    fn due(&mut self) -> Vec<Effect> {
        if self.phase != Phase::Restarting {
            return vec![];
        }
        self.begin_launch();
        self.restart_count = self.restart_count.saturating_add(1);
        vec![Effect::Launch]
    }

    fn launched(&mut self, pid: u32, at: Timestamp) -> Vec<Effect> {
        self.pid = Some(pid);
        self.started_at = Some(at);
        self.finished_at = None;
        self.exit_code = 0;
        if self.phase == Phase::Removing {
            return vec![Effect::Kill];
        }
        self.phase = Phase::Running;
        match self.wish {
            Wish::Run | Wish::RunAgain => vec![],
            Wish::Stop => vec![Effect::Terminate],
            Wish::Remove => vec![Effect::Kill],
        }
    }

    /// A failed start counts as a run of no length, so that a policy tries again; one that a
    /// person asked for stays where it was, with the reason.
    fn launch_failed(&mut self, policy: RestartPolicy, code: i32, error: String, at: Timestamp) -> Vec<Effect> {
        let first = self.restart_count == 0;
        self.error = error;
        self.started_at = if first { self.started_at } else { Some(at) };
        let ran_before = self.finished_at.is_some() || self.started_at.is_some();
        if first && self.wish == Wish::Run && self.phase == Phase::Starting {
            self.pid = None;
            self.exit_code = code;
            self.phase = if ran_before { Phase::Exited } else { Phase::Created };
            return vec![Effect::NotStarted];
        }
        self.ended(
            policy,
            &Ending {
                code,
                oom_killed: false,
                at,
            },
        )
    }

    fn ended(&mut self, policy: RestartPolicy, ending: &Ending) -> Vec<Effect> {
        let ran = self.ran(ending.at);
        self.pid = None;
        self.paused = false;
        self.stopping = false;
        self.exit_code = ending.code;
        self.oom_killed = ending.oom_killed;
        self.finished_at = Some(ending.at);
        if self.phase == Phase::Removing || self.wish == Wish::Remove {
            self.phase = Phase::Removing;
            return vec![Effect::Settled, Effect::Delete];
        }
        if self.wish == Wish::RunAgain {
            self.begin_launch();
            return vec![Effect::Launch];
        }
        let again = match self.wish {
            Wish::Run => decide_restart(policy, self.backoff, ending.code, ran),
            _ => None,
        };
        match again {
            Some((backoff, delay)) => {
                self.backoff = backoff;
                self.phase = Phase::Restarting;
                vec![Effect::ScheduleRestart(delay)]
            }
            None => {
                self.phase = Phase::Exited;
                vec![Effect::Settled]
            }
        }
    }

    fn stop(&mut self) -> Result<Vec<Effect>, Refusal> {
        match self.phase {
            Phase::Running => {
                self.wish = Wish::Stop;
                self.stopping = true;
                Ok(vec![Effect::Terminate])
            }
            Phase::Starting => {
                self.wish = Wish::Stop;
                self.stopping = true;
                Ok(vec![])
            }
            Phase::Restarting => {
                self.wish = Wish::Stop;
                self.phase = Phase::Exited;
                Ok(vec![Effect::CancelRestart, Effect::Settled])
            }
            Phase::Created | Phase::Exited | Phase::Dead => Err(Refusal::AlreadyStopped),
            Phase::Removing => Err(Refusal::RemovalInProgress),
        }
    }

    fn restart(&mut self) -> Result<Vec<Effect>, Refusal> {
        if self.phase == Phase::Running {
            self.wish = Wish::RunAgain;
            self.stopping = true;
            self.restart_count = 0;
            return Ok(vec![Effect::Terminate]);
        }
        match self.start() {
            Err(Refusal::AlreadyRunning) => Ok(vec![]),
            other => other,
        }
    }

    fn killed_by_hand(&mut self) -> Result<Vec<Effect>, Refusal> {
        match self.phase {
            Phase::Running => {
                if self.wish == Wish::Run {
                    self.wish = Wish::Stop;
                }
                Ok(vec![])
            }
            _ => Err(Refusal::NotRunning),
        }
    }

    fn remove(&mut self, force: bool) -> Result<Vec<Effect>, Refusal> {
        let live = self.is_live() || self.phase == Phase::Restarting;
        if self.phase == Phase::Removing {
            return Err(Refusal::RemovalInProgress);
        }
        if live && !force {
            return Err(Refusal::StillRunning);
        }
        let effects = match self.phase {
            Phase::Running => vec![Effect::Kill],
            Phase::Starting => vec![],
            Phase::Restarting => vec![Effect::CancelRestart, Effect::Delete],
            _ => vec![Effect::Delete],
        };
        self.wish = Wish::Remove;
        self.phase = Phase::Removing;
        Ok(effects)
    }
}

#[cfg(test)]
#[path = "container_test.rs"]
mod tests;
