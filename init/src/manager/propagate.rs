//! Two phases over the graph: wishes spread by queue, then whatever is possible now happens. No recursion, and no unit
//! starts or stops because a neighbour was looked at too early.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::state::{Entry, History, State, Then, Wish};
use super::{Action, Level, Manager, report};

/// Whether a waiting unit may start.
enum Gate {
    Open,
    Wait,
    /// `missing`: nobody has said so yet, since what is required does not even exist.
    Never {
        reason: String,
        missing: bool,
    },
}

impl Manager {
    /// Phase one: these units and what they need should be up.
    pub(super) fn wish_up(&mut self, now: Duration, names: Vec<String>, out: &mut Vec<Action>) {
        let mut queue: VecDeque<String> = names.into();
        let mut seen = BTreeSet::new();
        while let Some(name) = queue.pop_front() {
            let Some(entry) = self.entries.get_mut(&name) else {
                continue;
            };
            if !seen.insert(name.clone()) {
                continue;
            }
            entry.wish = Wish::Up;
            queue.extend(entry.unit.requires.iter().chain(&entry.unit.wants).cloned());
            match entry.state.clone() {
                State::Stopped | State::Failed => {
                    entry.history = History::default();
                    entry.restarts = 0;
                    self.set_state(now, &name, State::Waiting, out);
                }
                // It was going down for good; now it comes back when it is down.
                State::Stopping {
                    deadline,
                    killed,
                    then: Then::Down,
                } => {
                    let then = Then::Again;
                    self.set_state(now, &name, State::Stopping { deadline, killed, then }, out);
                }
                _ => {}
            }
        }
    }

    /// Phase one: these units and what requires them should be down.
    pub(super) fn wish_down(&mut self, names: Vec<String>) {
        let mut queue: VecDeque<String> = names.into();
        let mut seen = BTreeSet::new();
        while let Some(name) = queue.pop_front() {
            if !seen.insert(name.clone()) {
                continue;
            }
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.wish = Wish::Down;
            }
            let requires = |entry: &&Entry| entry.unit.requires.contains(&name);
            queue.extend(
                self.entries
                    .values()
                    .filter(requires)
                    .map(|entry| entry.unit.name.clone()),
            );
        }
    }

    /// Phase two: until nothing changes any more, starts what may start and stops what may stop.
    pub(super) fn advance(&mut self, now: Duration, out: &mut Vec<Action>) {
        loop {
            let before = out.len();
            let mut changed = false;
            for name in self.names() {
                changed |= self.advance_unit(now, &name, out);
            }
            if !changed && out.len() == before {
                return;
            }
        }
    }

    fn advance_unit(&mut self, now: Duration, name: &str, out: &mut Vec<Action>) -> bool {
        let Some(entry) = self.entries.get(name) else {
            return false;
        };
        match (entry.wish, &entry.state) {
            (Wish::Up, State::Waiting) => self.start_if_possible(now, name, out),
            (Wish::Down, State::Stopped | State::Failed | State::Stopping { then: Then::Down, .. }) => false,
            (Wish::Down, _) if self.is_needed(entry) => false,
            (Wish::Down, _) => {
                self.stop(now, name, Then::Down, out);
                true
            }
            (Wish::Up, _) => false,
        }
    }

    fn start_if_possible(&mut self, now: Duration, name: &str, out: &mut Vec<Action>) -> bool {
        let gate = match self.entries.get(name) {
            Some(_) if self.is_shutting_down() => Gate::Wait,
            Some(entry) => self.gate(entry),
            None => Gate::Wait,
        };
        match gate {
            Gate::Open => self.launch(now, name, out),
            Gate::Wait => return false,
            Gate::Never { reason, missing } => {
                // Whoever failed first was reported; the boot's own target is, with its whole story.
                let first = missing && !self.is_boot_target(name);
                let level = if first { Level::Failure } else { Level::Detail };
                out.push(report(level, format!("{name} cannot start: {reason}")));
                if let Some(entry) = self.entries.get_mut(name) {
                    entry.failure = Some(reason);
                }
                self.set_state(now, name, State::Failed, out);
            }
        }
        true
    }

    fn gate(&self, entry: &Entry) -> Gate {
        let mut wait = entry.has_remains();
        for name in &entry.unit.requires {
            let Some(other) = self.entries.get(name) else {
                let reason = format!("it requires {name}, and there is no such unit");
                return Gate::Never { reason, missing: true };
            };
            let never = |what: &str| Gate::Never {
                reason: format!("it requires {name}, which {what}"),
                missing: false,
            };
            match other.state {
                State::Running | State::Done => {}
                State::Failed => return never("failed"),
                State::Stopped => return never("is not running"),
                State::Waiting | State::Starting { .. } | State::Stopping { .. } | State::BackOff { .. } => wait = true,
            }
        }
        let comes_first = |name: &String| {
            self.entries.get(name).is_some_and(|other| {
                other.wish == Wish::Up
                    && matches!(
                        other.state,
                        State::Waiting | State::Starting { .. } | State::Stopping { .. }
                    )
            })
        };
        wait |= entry.unit.after.iter().any(comes_first);
        if wait { Gate::Wait } else { Gate::Open }
    }

    /// Whether something that should also go down has to go down before this unit.
    fn is_needed(&self, entry: &Entry) -> bool {
        let name = &entry.unit.name;
        self.entries.values().any(|other| {
            let above = other.unit.requires.contains(name) || other.unit.after.contains(name);
            above && other.wish == Wish::Down && other.is_active()
        })
    }
}
