//! From spawn to the last process of a unit: what the events of one unit do to it. Never looks at other units.

use std::time::Duration;

use super::restart::{Verdict, decide_restart};
use super::state::{Entry, Outcome, Process, State, Then, Wish};
use super::{Action, Exit, Level, Manager, Notification, report};
use crate::unit::{Kill, Kind, Ready};

/// How long a killed group may take to vanish before people are told.
const KILL_GRACE: Duration = Duration::from_secs(10);
const SIGKILL: i32 = 9;

impl Manager {
    /// Starts a unit whose needs are met.
    pub(super) fn launch(&mut self, now: Duration, name: &str, out: &mut Vec<Action>) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        entry.failure = None;
        let Some(service) = entry.unit.service.as_ref() else {
            self.set_state(now, name, State::Running, out);
            return;
        };
        let deadline = now + service.start_timeout;
        entry.history.record_start(service.start_limit.burst, now);
        entry.spawning = true;
        entry.status = None;
        self.set_state(now, name, State::Starting { deadline }, out);
        out.push(Action::Spawn { unit: name.to_owned() });
    }

    pub(super) fn spawned(&mut self, now: Duration, name: &str, pid: i32, out: &mut Vec<Action>) {
        let Some(entry) = self.entries.get_mut(name).filter(|entry| entry.spawning) else {
            return;
        };
        entry.spawning = false;
        entry.process = Some(Process {
            pid,
            exec_failure: None,
        });
        entry.group_populated = true;
        // Stopped before it was even spawned: nothing of it has run yet, so nothing needs a gentle end.
        if let State::Stopping { then, .. } = entry.state.clone() {
            self.kill_remains(now, name, then, out);
        }
    }

    pub(super) fn spawn_came_to_nothing(&mut self, now: Duration, name: &str, outcome: Outcome, out: &mut Vec<Action>) {
        let Some(entry) = self.entries.get_mut(name).filter(|entry| entry.spawning) else {
            return;
        };
        entry.spawning = false;
        let then = match entry.state.clone() {
            State::Stopping { then, .. } => then,
            _ => Then::Judge(outcome),
        };
        self.finish_up(now, name, then, out);
    }

    pub(super) fn executed(&mut self, now: Duration, name: &str, out: &mut Vec<Action>) {
        self.ready_if(now, name, Ready::Exec, out);
    }

    pub(super) fn exec_failed(&mut self, name: &str, reason: String) {
        let process = self.entries.get_mut(name).and_then(|entry| entry.process.as_mut());
        if let Some(process) = process {
            process.exec_failure = Some(reason);
        }
    }

    pub(super) fn notified(&mut self, now: Duration, name: &str, message: Notification, out: &mut Vec<Action>) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        if message.status.is_some() && message.status != entry.status {
            // What a service cannot do for lack of something outside is worth a line to the operator.
            if let Some(problem) = message
                .status
                .as_deref()
                .and_then(|text| text.strip_prefix("problem: "))
            {
                out.push(report(Level::Failure, format!("{name}: {problem}")));
            }
            entry.status = message.status;
        }
        if message.watchdog
            && let Some(due) = entry.watchdog_due.as_mut()
            && let Some(interval) = entry.unit.service.as_ref().and_then(|service| service.watchdog)
        {
            *due = now + interval;
        }
        if message.ready {
            self.ready_if(now, name, Ready::Notify, out);
        }
    }

    /// A unit that is starting and waits for this kind of readiness is up.
    fn ready_if(&mut self, now: Duration, name: &str, kind: Ready, out: &mut Vec<Action>) {
        let Some(entry) = self.entries.get(name) else { return };
        let Some(service) = entry.service() else { return };
        if service.ready != kind || !matches!(entry.state, State::Starting { .. }) || entry.process.is_none() {
            return;
        }
        let watchdog_due = service.watchdog.map(|interval| now + interval);
        self.set_state(now, name, State::Running, out);
        if let Some(entry) = self.entries.get_mut(name) {
            entry.watchdog_due = watchdog_due;
        }
    }

    pub(super) fn exited(&mut self, now: Duration, pid: i32, exit: Exit, out: &mut Vec<Action>) {
        let Some(name) = self.unit_of(pid).map(str::to_owned) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(&name) else {
            return;
        };
        let process = entry.process.take();
        let exec_failure = process.and_then(|process| process.exec_failure);
        let then = match entry.state.clone() {
            State::Stopping { then, .. } => then,
            _ => Then::Judge(judge_exit(entry, exit, exec_failure)),
        };
        if entry.state == State::Running {
            let ready_for = now.saturating_sub(entry.since);
            entry.history.record_end(ready_for);
        } else if matches!(entry.state, State::Starting { .. }) {
            entry.history.record_end(Duration::ZERO);
        }
        self.kill_remains(now, &name, then, out);
    }

    pub(super) fn group_empty(&mut self, now: Duration, name: &str, out: &mut Vec<Action>) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        entry.group_populated = false;
        if let State::Stopping { then, .. } = entry.state.clone()
            && !entry.has_remains()
        {
            self.finish_up(now, name, then, out);
        }
    }

    /// Asks a unit to end; what comes after is `then`.
    pub(super) fn stop(&mut self, now: Duration, name: &str, then: Then, out: &mut Vec<Action>) {
        let Some(entry) = self.entries.get(name) else { return };
        match entry.state.clone() {
            State::Stopped | State::Failed => {}
            State::Stopping { deadline, killed, .. } => {
                self.set_state(now, name, State::Stopping { deadline, killed, then }, out);
            }
            State::Starting { .. } | State::Running if entry.has_remains() => self.ask_to_end(now, name, then, out),
            _ => self.finish_up(now, name, then, out),
        }
    }

    fn ask_to_end(&mut self, now: Duration, name: &str, then: Then, out: &mut Vec<Action>) {
        let Some(service) = self.entries.get(name).and_then(Entry::service) else {
            return;
        };
        let (deadline, signal) = (now + service.stop_timeout, service.stop_signal.0);
        let pid = self
            .entries
            .get(name)
            .and_then(|entry| entry.process.as_ref())
            .map(|process| process.pid);
        self.set_state(
            now,
            name,
            State::Stopping {
                deadline,
                killed: false,
                then,
            },
            out,
        );
        match pid {
            Some(pid) => out.push(Action::Signal { pid, signal }),
            None => self.kill_if_remains(name, out),
        }
    }

    /// Time alone changed something.
    pub(super) fn expire(&mut self, now: Duration, out: &mut Vec<Action>) {
        for name in self.names() {
            let Some(entry) = self
                .entries
                .get(&name)
                .filter(|entry| entry.deadline().is_some_and(|at| at <= now))
            else {
                continue;
            };
            match entry.state.clone() {
                State::Starting { .. } => {
                    let timeout = entry.service().map(|service| service.start_timeout).unwrap_or_default();
                    let reason = format!("not ready within {timeout:?}");
                    self.end_by_force(now, &name, reason, out);
                }
                State::Running => self.end_by_force(now, &name, "missed its watchdog".to_owned(), out),
                State::Stopping { then, killed, .. } => {
                    let said = if killed {
                        "still has processes after SIGKILL"
                    } else {
                        "did not stop in time; killed"
                    };
                    out.push(report(Level::Failure, format!("{name} {said}")));
                    self.kill_remains(now, &name, then, out);
                }
                State::BackOff { .. } => self.set_state(now, &name, State::Waiting, out),
                State::Stopped | State::Waiting | State::Done | State::Failed => {}
            }
        }
    }

    fn end_by_force(&mut self, now: Duration, name: &str, reason: String, out: &mut Vec<Action>) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.history.record_end(Duration::ZERO);
        }
        self.kill_remains(now, name, Then::Judge(Outcome::Failure(reason)), out);
    }

    /// Kills whatever is left of a unit that must not go on; concludes at once if nothing is.
    fn kill_remains(&mut self, now: Duration, name: &str, then: Then, out: &mut Vec<Action>) {
        if !self.entries.get(name).is_some_and(Entry::has_remains) {
            self.finish_up(now, name, then, out);
            return;
        }
        let deadline = now + KILL_GRACE;
        self.set_state(
            now,
            name,
            State::Stopping {
                deadline,
                killed: true,
                then,
            },
            out,
        );
        self.kill_if_remains(name, out);
    }

    fn kill_if_remains(&self, name: &str, out: &mut Vec<Action>) {
        let Some(entry) = self.entries.get(name) else { return };
        let whole_group = entry.service().is_some_and(|service| service.kill == Kill::Group);
        if whole_group && entry.group_populated {
            out.push(Action::KillGroup { unit: name.to_owned() });
        } else if let Some(process) = &entry.process {
            out.push(Action::Signal {
                pid: process.pid,
                signal: SIGKILL,
            });
        }
    }

    /// Nothing of the unit is left: it rests, waits for its next start, or is given up.
    fn finish_up(&mut self, now: Duration, name: &str, then: Then, out: &mut Vec<Action>) {
        let Some(entry) = self.entries.get(name) else { return };
        let state = match (then, entry.wish) {
            (Then::Judge(outcome), Wish::Up) if !self.is_shutting_down() => self.judge(now, name, &outcome, out),
            (Then::Judge(_) | Then::Down, _) | (Then::Again, Wish::Down) => State::Stopped,
            (Then::Again, Wish::Up) => State::Waiting,
        };
        let rests = matches!(state, State::Stopped | State::Done | State::Failed);
        self.set_state(now, name, state, out);
        let group_empty = self
            .entries
            .get(name)
            .is_some_and(|entry| !entry.group_populated && entry.service().is_some());
        if rests && group_empty {
            out.push(Action::RemoveGroup { unit: name.to_owned() });
        }
    }

    fn judge(&mut self, now: Duration, name: &str, outcome: &Outcome, out: &mut Vec<Action>) -> State {
        let Some(entry) = self.entries.get_mut(name) else {
            return State::Stopped;
        };
        let Some(service) = entry.unit.service.as_ref() else {
            return State::Stopped;
        };
        entry.failure = match outcome {
            Outcome::Clean => None,
            Outcome::Failure(reason) => Some(reason.clone()),
        };
        match decide_restart(service, &entry.history, outcome, now) {
            Verdict::Rest if entry.unit.kind == Kind::Oneshot => State::Done,
            Verdict::Rest => State::Stopped,
            Verdict::Again { at } => {
                entry.restarts = entry.restarts.saturating_add(1);
                let reason = entry.failure.as_deref().unwrap_or("ended with code 0");
                let delay = at.saturating_sub(now);
                out.push(report(
                    Level::Detail,
                    format!("{name} {reason}; starting it again in {delay:?}"),
                ));
                State::BackOff { until: at }
            }
            Verdict::GiveUp { reason } => {
                let next = "what it said is in the journal; a reboot tries again";
                out.push(report(Level::Failure, format!("{name} failed: {reason}; {next}")));
                entry.failure = Some(reason);
                State::Failed
            }
        }
    }
}

/// What an exit that nobody asked for means.
fn judge_exit(entry: &Entry, exit: Exit, exec_failure: Option<String>) -> Outcome {
    if let Some(reason) = exec_failure {
        return Outcome::Failure(reason);
    }
    let ready = entry.service().map_or(Ready::Exec, |service| service.ready);
    match (exit, &entry.state, ready) {
        (Exit::Code(0), State::Running, _) | (Exit::Code(0), _, Ready::Exit) => Outcome::Clean,
        (Exit::Code(0), _, Ready::Notify) => Outcome::Failure("ended before it was ready".to_owned()),
        // The pipe of the exec helper closes before the program can end, so this is the program's own end.
        (Exit::Code(0), _, Ready::Exec) => Outcome::Clean,
        (exit, _, _) => Outcome::Failure(exit.to_string()),
    }
}
