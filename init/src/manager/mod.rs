//! The supervisor as a pure state machine: [`Manager::step`] takes what happened and returns what to do. It is total:
//! it returns no `Result`, a failure is an event and then a state. It knows no clock, no process and no descriptor.
//!
//! Changes go in two phases. First wishes spread through the graph (`propagate`), then what is possible now happens
//! (`advance`): units whose needs are up start, units nobody above needs any more stop. State diagram: [`state::State`].
//! The whole value can be serialised and taken up by a new copy of the program.

pub mod action;
pub mod boot;
pub mod event;
mod lifecycle;
mod propagate;
mod request;
pub mod restart;
pub mod shutdown;
pub mod state;

#[cfg(test)]
mod model_test;
#[cfg(test)]
mod scenarios;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keelson_manager_api::{Notice, PowerKind};
use serde::{Deserialize, Serialize};

pub use action::{Action, Level, Report};
pub use boot::BootPolicy;
pub use event::{Authority, Connection, Event, Exit, Notification};
pub use state::{Entry, State, Wish};

use boot::Boot;
use request::Caller;
use shutdown::Shutdown;
use state::Outcome;

use crate::unit::Unit;

/// The supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manager {
    entries: BTreeMap<String, Entry>,
    boot: Boot,
    shutdown: Option<Shutdown>,
    subscribers: BTreeSet<Connection>,
}

impl Manager {
    /// A supervisor of `units`, none of them started.
    #[must_use]
    pub fn new(units: BTreeMap<String, Unit>, policy: BootPolicy) -> Self {
        Manager {
            entries: units.into_iter().map(|(name, unit)| (name, Entry::new(unit))).collect(),
            boot: Boot::new(policy),
            shutdown: None,
            subscribers: BTreeSet::new(),
        }
    }

    /// Takes one event at `now` (monotonic) and says what to do, in order.
    pub fn step(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        match event {
            Event::Boot => self.begin_boot(now, &mut out),
            Event::Tick => {}
            Event::Spawned { unit, pid } => self.spawned(now, &unit, pid, &mut out),
            Event::SpawnFailed { unit, reason } => {
                self.spawn_came_to_nothing(now, &unit, Outcome::Failure(reason), &mut out)
            }
            Event::Unneeded { unit } => self.spawn_came_to_nothing(now, &unit, Outcome::Clean, &mut out),
            Event::Executed { unit } => self.executed(now, &unit, &mut out),
            Event::ExecFailed { unit, reason } => self.exec_failed(&unit, reason),
            Event::Exited { pid, exit } => self.exited(now, pid, exit, &mut out),
            Event::Notified { unit, message } => self.notified(now, &unit, message, &mut out),
            Event::GroupEmpty { unit } => self.group_empty(now, &unit, &mut out),
            Event::Called { unit } => self.called(now, unit, &mut out),
            Event::Asked {
                connection,
                id,
                authority,
                unit,
                request,
            } => {
                let caller = Caller {
                    connection,
                    id,
                    authority,
                    unit,
                };
                self.asked(now, caller, request, &mut out);
            }
            Event::Disconnected { connection } => self.forget(connection),
            Event::AskedToReboot { asker } => self.begin_shutdown(now, PowerKind::Reboot, asker, &mut out),
            Event::AskedToPowerOff { asker } => self.begin_shutdown(now, PowerKind::PowerOff, asker, &mut out),
            Event::AskedToReexec => self.ask_reexec(&mut out),
            Event::NoChildren => self.no_children(&mut out),
        }
        self.expire(now, &mut out);
        self.advance(now, &mut out);
        self.watch_boot(now, &mut out);
        self.advance_shutdown(now, &mut out);
        self.answer_waiters(&mut out);
        self.finish(&mut out);
        out
    }

    /// When a `Tick` is due at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let units = self.entries.values().filter_map(Entry::deadline);
        let machine = [
            self.boot.deadline(),
            self.shutdown.as_ref().and_then(Shutdown::deadline),
        ];
        units.chain(machine.into_iter().flatten()).min()
    }

    /// Every unit by name.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// Whether somebody who knocks at its sockets starts the unit: it is down, and was not given up.
    #[must_use]
    pub fn may_be_called(&self, name: &str) -> bool {
        let ready =
            |entry: &Entry| entry.state == State::Stopped && entry.unit.sockets.iter().any(|socket| socket.starts);
        !self.is_shutting_down() && self.entries.get(name).is_some_and(ready)
    }

    /// Whether the machine is going down.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.shutdown.is_some()
    }

    /// The unit whose main process is `pid`.
    #[must_use]
    pub fn unit_of(&self, pid: i32) -> Option<&str> {
        let owns = |entry: &&Entry| entry.process.as_ref().is_some_and(|process| process.pid == pid);
        self.entries.values().find(owns).map(|entry| entry.unit.name.as_str())
    }

    fn names(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    fn tell(&self, notice: &Notice, out: &mut Vec<Action>) {
        out.extend(self.subscribers.iter().map(|connection| Action::Notify {
            connection: *connection,
            notice: notice.clone(),
        }));
    }

    /// The only place where a unit changes its state.
    fn set_state(&mut self, now: Duration, name: &str, state: State, out: &mut Vec<Action>) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        if entry.state == state {
            return;
        }
        if !matches!(state, State::Running) {
            entry.watchdog_due = None;
        }
        if std::mem::discriminant(&entry.state) != std::mem::discriminant(&state) {
            entry.since = now;
        }
        match state {
            State::Starting { .. } => entry.first_started = entry.first_started.or(Some(now)),
            State::Running | State::Done => entry.first_up = entry.first_up.or(Some(now)),
            _ => {}
        }
        entry.state = state;
        let notice = Notice::UnitChanged {
            unit: entry.to_status(),
        };
        self.tell(&notice, out);
    }
}

fn report(level: Level, text: impl Into<String>) -> Action {
    Action::Report(Report {
        level,
        text: text.into(),
    })
}
