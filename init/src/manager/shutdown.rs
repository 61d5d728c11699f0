//! Going down in order and in bounded time: units in reverse order, each within its own stop timeout; then whatever
//! else runs (containers included); then the machine.

use std::time::Duration;

use keelson_image_layout::boot_history::Asker;
use keelson_manager_api::{Notice, PowerKind};
use serde::{Deserialize, Serialize};

use super::state::{Entry, State};
use super::{Action, Level, Manager, report};

/// All units together may take this long before the rest of them is killed.
const UNITS_WITHIN: Duration = Duration::from_secs(60);
/// Killed units are waited for this long.
const KILLED_WITHIN: Duration = Duration::from_secs(5);
/// Processes outside of units may take this long after SIGTERM, and again after SIGKILL.
const LEFTOVERS_WITHIN: Duration = Duration::from_secs(10);
/// How often people are told what is waited for.
const TELL_EVERY: Duration = Duration::from_secs(5);
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// How far going down has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shutdown {
    kind: PowerKind,
    phase: Phase,
    until: Duration,
    tell_at: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Phase {
    /// Units stop in order.
    Units,
    /// What was left of the units was killed.
    Killed,
    /// Everything else was asked to end.
    Asked,
    /// Everything else was killed.
    Forced,
    /// Nothing is left to do but the last action.
    Over,
    /// The last action was given.
    Finished,
}

impl Shutdown {
    pub(super) fn deadline(&self) -> Option<Duration> {
        (self.phase < Phase::Over).then(|| self.until.min(self.tell_at))
    }
}

impl Manager {
    pub(super) fn begin_shutdown(&mut self, now: Duration, kind: PowerKind, asker: Asker, out: &mut Vec<Action>) {
        if self.is_shutting_down() {
            return;
        }
        self.shutdown = Some(Shutdown {
            kind,
            phase: Phase::Units,
            until: now + UNITS_WITHIN,
            tell_at: now + TELL_EVERY,
        });
        self.boot.abandon();
        let running = self.entries.values().filter(|entry| entry.has_remains()).count();
        let what = match kind {
            PowerKind::Reboot => "rebooting",
            PowerKind::PowerOff => "powering off",
        };
        out.push(report(Level::Milestone, format!("{what}: stopping {running} units")));
        out.push(report(Level::Detail, format!("{what}: asked for {asker}")));
        out.push(Action::AnnounceEnd { kind, asker });
        self.tell(&Notice::ShuttingDown { kind }, out);
        self.wish_down(self.names());
        self.advance(now, out);
    }

    /// One phase after the other, each ended by its goal or by its deadline.
    pub(super) fn advance_shutdown(&mut self, now: Duration, out: &mut Vec<Action>) {
        let Some(Shutdown {
            phase, until, tell_at, ..
        }) = self.shutdown.clone()
        else {
            return;
        };
        let units_left = self.entries.values().any(Entry::is_active);
        match phase {
            Phase::Units | Phase::Killed if !units_left => self.enter(now, Phase::Asked, out),
            Phase::Units if now >= until => self.enter(now, Phase::Killed, out),
            Phase::Killed if now >= until => self.enter(now, Phase::Asked, out),
            Phase::Asked if now >= until => self.enter(now, Phase::Forced, out),
            Phase::Forced if now >= until => self.enter(now, Phase::Over, out),
            _ if now >= tell_at && phase < Phase::Over => self.tell_waiting(now, until, out),
            _ => {}
        }
    }

    pub(super) fn no_children(&mut self, out: &mut Vec<Action>) {
        let phase = self.shutdown.as_ref().map(|shutdown| shutdown.phase);
        if matches!(phase, Some(Phase::Asked | Phase::Forced)) {
            self.enter(Duration::ZERO, Phase::Over, out);
        }
    }

    fn enter(&mut self, now: Duration, phase: Phase, out: &mut Vec<Action>) {
        let Some(shutdown) = self.shutdown.as_mut() else { return };
        shutdown.phase = phase;
        shutdown.tell_at = now + TELL_EVERY;
        match phase {
            Phase::Units => {}
            Phase::Killed => {
                shutdown.until = now + KILLED_WITHIN;
                let left: Vec<String> = self.unfinished().map(|entry| entry.unit.name.clone()).collect();
                out.push(report(
                    Level::Failure,
                    format!("out of time; killing {}", left.join(", ")),
                ));
                out.extend(left.into_iter().map(|unit| Action::KillGroup { unit }));
            }
            Phase::Asked => {
                shutdown.until = now + LEFTOVERS_WITHIN;
                out.push(Action::SignalAll { signal: SIGTERM });
            }
            Phase::Forced => {
                shutdown.until = now + LEFTOVERS_WITHIN;
                out.push(report(Level::Failure, "some processes did not end; killing them"));
                out.push(Action::SignalAll { signal: SIGKILL });
            }
            Phase::Over | Phase::Finished => {}
        }
    }

    /// Whether nobody has to wait any longer for anything.
    pub(super) fn is_over(&self) -> bool {
        self.shutdown
            .as_ref()
            .is_some_and(|shutdown| shutdown.phase >= Phase::Over)
    }

    /// Gives the last action, once, after everybody has their reply.
    pub(super) fn finish(&mut self, out: &mut Vec<Action>) {
        if let Some(shutdown) = self.shutdown.as_mut().filter(|shutdown| shutdown.phase == Phase::Over) {
            shutdown.phase = Phase::Finished;
            out.push(Action::Finish { kind: shutdown.kind });
        }
    }

    fn tell_waiting(&mut self, now: Duration, until: Duration, out: &mut Vec<Action>) {
        let mut left: Vec<String> = self.unfinished().map(|entry| entry.unit.name.clone()).collect();
        if left.is_empty() {
            left.push("the last processes".to_owned());
        }
        let seconds = until.saturating_sub(now).as_secs();
        out.push(report(
            Level::Milestone,
            format!("waiting for {} ({seconds} s at most)", left.join(", ")),
        ));
        if let Some(shutdown) = self.shutdown.as_mut() {
            shutdown.tell_at = now + TELL_EVERY;
        }
    }

    fn unfinished(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| {
            matches!(
                entry.state,
                State::Starting { .. } | State::Running | State::Stopping { .. }
            )
        })
    }
}
