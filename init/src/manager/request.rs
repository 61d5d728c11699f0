//! The control socket's requests: who may ask, what it starts, and that every request gets exactly one reply.

use std::time::Duration;

use keelson_image_layout::boot_history::Asker;
use keelson_manager_api::{PowerKind, Refusal, Reply, Request, Words};

use super::state::{Entry, State, Then, Waiter, Wish};
use super::{Action, Authority, Connection, Level, Manager, report, restart};
use crate::unit::Service;

/// Who asks.
pub(super) struct Caller {
    pub connection: Connection,
    pub id: u64,
    pub authority: Authority,
    pub unit: Option<String>,
}

impl Manager {
    pub(super) fn asked(&mut self, now: Duration, caller: Caller, request: Request, out: &mut Vec<Action>) {
        let (connection, id) = (caller.connection, caller.id);
        if let Some(reply) = self.answer(now, caller, request, out) {
            out.push(Action::Reply { connection, id, reply });
        }
    }

    /// The reply, or `None` if it comes later from [`Manager::answer_waiters`].
    fn answer(&mut self, now: Duration, caller: Caller, request: Request, out: &mut Vec<Action>) -> Option<Reply> {
        let Caller {
            connection,
            id,
            authority,
            unit,
        } = caller;
        let needed = if request.changes_something() {
            Authority::Control
        } else {
            Authority::Read
        };
        if authority != Authority::Control && authority != needed {
            let message = "the caller's control group may not ask for this";
            return Some(refuse(Refusal::NotAllowed, message));
        }
        match request {
            Request::List => Some(Reply::Units {
                units: self.entries.values().map(Entry::to_status).collect(),
            }),
            Request::Status { unit } => Some(match self.entries.get(&unit) {
                Some(entry) => Reply::Unit {
                    unit: entry.to_status(),
                },
                None => no_such_unit(&unit),
            }),
            Request::Subscribe => {
                self.subscribers.insert(connection);
                Some(Reply::Done)
            }
            Request::Start { unit } => self.ask_up(now, connection, id, &unit, Up::Start, out),
            Request::Restart { unit } => self.ask_up(now, connection, id, &unit, Up::Restart, out),
            Request::Stop { unit } => self.ask_down(connection, id, unit),
            Request::Reboot { words } => Some(self.ask_power(now, PowerKind::Reboot, unit, words, out)),
            Request::PowerOff { words } => Some(self.ask_power(now, PowerKind::PowerOff, unit, words, out)),
            Request::Reexec if self.is_shutting_down() => Some(going_down()),
            Request::Reexec => {
                out.push(Action::Reply {
                    connection,
                    id,
                    reply: Reply::Done,
                });
                self.ask_reexec(out);
                None
            }
        }
    }

    /// A knock is nobody's wish: it brings back nothing that was given up, and gives no fresh restart budget.
    pub(super) fn called(&mut self, now: Duration, name: String, out: &mut Vec<Action>) {
        if !self.may_be_called(&name) {
            return;
        }
        let Some(entry) = self.entries.get_mut(&name) else {
            return;
        };
        let history = entry.history.clone();
        let limit = |service: &Service| restart::check_limit(service, &history, now);
        if let Some(reason) = entry.service().and_then(limit) {
            out.push(report(Level::Failure, format!("{name} failed: {reason}")));
            entry.failure = Some(reason);
            self.set_state(now, &name, State::Failed, out);
            return;
        }
        self.wish_up(now, vec![name.clone()], out);
        if let Some(entry) = self.entries.get_mut(&name) {
            entry.history = history;
        }
    }

    fn ask_up(
        &mut self,
        now: Duration,
        connection: Connection,
        id: u64,
        name: &str,
        how: Up,
        out: &mut Vec<Action>,
    ) -> Option<Reply> {
        if self.is_shutting_down() {
            return Some(going_down());
        }
        let Some(entry) = self.entries.get_mut(name) else {
            return Some(no_such_unit(name));
        };
        entry.waiters.push(Waiter {
            connection,
            id,
            goal: Wish::Up,
        });
        if how == Up::Restart {
            entry.restarts = 0;
            entry.history = super::state::History::default();
            self.stop(now, name, Then::Again, out);
        }
        self.wish_up(now, vec![name.to_owned()], out);
        // A oneshot that is done, or a target, was put back by `stop` and waits again now.
        let down = self
            .entries
            .get(name)
            .is_some_and(|entry| entry.state == State::Stopped);
        if down {
            self.set_state(now, name, State::Waiting, out);
        }
        None
    }

    fn ask_down(&mut self, connection: Connection, id: u64, name: String) -> Option<Reply> {
        if self.is_shutting_down() {
            return Some(going_down());
        }
        let Some(entry) = self.entries.get_mut(&name) else {
            return Some(no_such_unit(&name));
        };
        entry.waiters.push(Waiter {
            connection,
            id,
            goal: Wish::Down,
        });
        self.wish_down(vec![name]);
        None
    }

    fn ask_power(
        &mut self,
        now: Duration,
        kind: PowerKind,
        unit: Option<String>,
        words: Words,
        out: &mut Vec<Action>,
    ) -> Reply {
        if self.is_shutting_down() {
            return going_down();
        }
        self.begin_shutdown(now, kind, Asker::request(unit, words.person, words.why), out);
        Reply::Done
    }

    pub(super) fn ask_reexec(&mut self, out: &mut Vec<Action>) {
        if !self.is_shutting_down() {
            out.push(report(Level::Detail, "handing over to a new copy"));
            out.push(Action::Reexec);
        }
    }

    pub(super) fn forget(&mut self, connection: Connection) {
        self.subscribers.remove(&connection);
        for entry in self.entries.values_mut() {
            entry.waiters.retain(|waiter| waiter.connection != connection);
        }
    }

    /// Replies to everybody whose unit has come to rest.
    pub(super) fn answer_waiters(&mut self, out: &mut Vec<Action>) {
        let (going, over) = (self.is_shutting_down(), self.is_over());
        for entry in self.entries.values_mut() {
            for waiter in std::mem::take(&mut entry.waiters) {
                match settle(entry, &waiter, going).or_else(|| over.then(going_down)) {
                    Some(reply) => out.push(Action::Reply {
                        connection: waiter.connection,
                        id: waiter.id,
                        reply,
                    }),
                    None => entry.waiters.push(waiter),
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Up {
    Start,
    Restart,
}

/// What the waiter is told now, if anything.
fn settle(entry: &Entry, waiter: &Waiter, going: bool) -> Option<Reply> {
    let down = matches!(entry.state, State::Stopped | State::Failed);
    match (waiter.goal, entry.wish) {
        (Wish::Down, _) if down => Some(Reply::Done),
        (Wish::Up, _) if going => Some(going_down()),
        (Wish::Up, Wish::Down) | (Wish::Down, Wish::Up) => {
            Some(refuse(Refusal::Superseded, "a later request took its place"))
        }
        (Wish::Up, Wish::Up) if entry.is_up() => Some(Reply::Done),
        (Wish::Up, Wish::Up) if down => {
            let reason = entry.failure.as_deref().unwrap_or("it ended at once");
            Some(refuse(Refusal::Failed, reason))
        }
        _ => None,
    }
}

fn refuse(refusal: Refusal, message: impl Into<String>) -> Reply {
    Reply::Refused {
        refusal,
        message: message.into(),
    }
}

fn no_such_unit(name: &str) -> Reply {
    refuse(Refusal::NoSuchUnit, format!("there is no unit {name:?}"))
}

fn going_down() -> Reply {
    refuse(Refusal::ShuttingDown, "the machine is going down")
}
