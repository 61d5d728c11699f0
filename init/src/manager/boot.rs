//! What counts as a boot that worked, and what happens if it did not: a slot on trial is left by rebooting after a
//! bounded time, so that its tries burn; a proven slot stays up for people to look at.

use std::time::Duration;

use keelson_image_layout::boot_history::Asker;
use keelson_manager_api::{Notice, PowerKind};
use serde::{Deserialize, Serialize};

use super::state::{Entry, State};
use super::{Action, Level, Manager, report};

/// Policy of one boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootPolicy {
    /// The unit that must come up.
    pub target: String,
    /// How long that may take.
    pub within: Duration,
    /// What happens if it does not.
    pub otherwise: Otherwise,
    /// The unit that commits a slot on trial, where there is a better one: if it fails for good, the boot is left as if
    /// the target had not come up.
    #[serde(default)]
    pub commit: Option<String>,
}

/// What happens to a boot that did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Otherwise {
    /// Reboot when the time is over.
    Reboot,
    /// Stay up, not marked good.
    Stay,
}

/// How far this boot has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Boot {
    policy: BootPolicy,
    progress: Progress,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Progress {
    NotBegun,
    /// Not up yet; `told` once people know that it will not come up by itself.
    Pending {
        until: Duration,
        told: bool,
    },
    Complete,
    Missed,
}

impl Boot {
    pub(super) fn new(policy: BootPolicy) -> Self {
        Boot {
            policy,
            progress: Progress::NotBegun,
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.progress {
            Progress::Pending { until, .. } => Some(until),
            Progress::NotBegun | Progress::Complete | Progress::Missed => None,
        }
    }

    pub(super) fn abandon(&mut self) {
        if self.deadline().is_some() {
            self.progress = Progress::Missed;
        }
    }
}

impl Manager {
    pub(super) fn begin_boot(&mut self, now: Duration, out: &mut Vec<Action>) {
        if self.boot.progress != Progress::NotBegun || self.is_shutting_down() {
            return;
        }
        self.boot.progress = Progress::Pending {
            until: now + self.boot.policy.within,
            told: false,
        };
        let with_boot = self.entries.values().filter(|entry| entry.unit.boot);
        let names = with_boot.map(|entry| entry.unit.name.clone()).collect();
        self.wish_up(now, names, out);
    }

    /// Looks whether the boot has come up, failed, or run out of time.
    pub(super) fn watch_boot(&mut self, now: Duration, out: &mut Vec<Action>) {
        if self.is_shutting_down() {
            return;
        }
        if self.boot.progress == Progress::Complete {
            self.watch_commit(now, out);
        }
        let Progress::Pending { until, told } = self.boot.progress else {
            return;
        };
        let target = self.entries.get(&self.boot.policy.target);
        if target.is_some_and(Entry::is_up) {
            self.boot.progress = Progress::Complete;
            out.push(Action::BootComplete);
            self.tell(&Notice::BootComplete, out);
            return;
        }
        let hopeless = target.is_none_or(|entry| matches!(entry.state, State::Failed | State::Stopped));
        if hopeless && !told {
            out.push(report(
                Level::Failure,
                self.describe_failed_boot(until.saturating_sub(now)),
            ));
            self.boot.progress = Progress::Pending { until, told: true };
        }
        if now >= until {
            self.miss_boot(now, out);
        }
    }

    /// A boot that is complete and cannot be committed is of no use.
    fn watch_commit(&mut self, now: Duration, out: &mut Vec<Action>) {
        let unit = self.boot.policy.commit.as_ref().and_then(|name| self.entries.get(name));
        let Some(entry) = unit.filter(|entry| entry.state == State::Failed) else {
            return;
        };
        let why = entry.failure.as_deref().unwrap_or("it failed");
        let reason = format!("{}: {why}", entry.unit.name);
        self.boot.progress = Progress::Missed;
        out.push(report(
            Level::Failure,
            format!("the slot on trial cannot be committed: {reason}"),
        ));
        self.begin_shutdown(now, PowerKind::Reboot, Asker::FailedBoot { reason }, out);
    }

    fn miss_boot(&mut self, now: Duration, out: &mut Vec<Action>) {
        self.boot.progress = Progress::Missed;
        let (target, within) = (&self.boot.policy.target, self.boot.policy.within);
        let waits = self.holding_up().join(", ");
        out.push(report(
            Level::Failure,
            format!("{target} not reached within {within:?}: {waits}"),
        ));
        match self.boot.policy.otherwise {
            Otherwise::Reboot => {
                let asker = Asker::FailedBoot { reason: waits };
                self.begin_shutdown(now, PowerKind::Reboot, asker, out);
            }
            Otherwise::Stay => {
                out.push(report(
                    Level::Failure,
                    "this boot is not marked good; the machine stays up",
                ));
            }
        }
    }

    fn describe_failed_boot(&self, left: Duration) -> String {
        let target = &self.boot.policy.target;
        let waits = self.holding_up().join(", ");
        let next = match self.boot.policy.otherwise {
            Otherwise::Reboot => format!("slot on trial: reboot in {} s unless it comes up", left.as_secs()),
            Otherwise::Stay => "this boot is not marked good; the machine stays up".to_owned(),
        };
        format!("{target} cannot be reached: {waits}; {next}")
    }

    /// Why the target is not up: what it requires and has failed or does not exist; if there is none of that, what it
    /// still waits for.
    fn holding_up(&self) -> Vec<String> {
        let Some(target) = self.entries.get(&self.boot.policy.target) else {
            return vec![format!("there is no unit {}", self.boot.policy.target)];
        };
        let (mut failed, mut slow) = (Vec::new(), Vec::new());
        for name in &target.unit.requires {
            match self.entries.get(name) {
                None => failed.push(format!("there is no unit {name}")),
                Some(entry) if entry.is_up() => {}
                Some(entry) => match &entry.failure {
                    Some(reason) => failed.push(format!("{name}: {reason}")),
                    None => slow.push(format!("{name} is not up")),
                },
            }
        }
        if failed.is_empty() { slow } else { failed }
    }

    pub(super) fn is_boot_target(&self, name: &str) -> bool {
        self.boot.policy.target == name
    }
}
