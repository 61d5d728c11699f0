//! Why a boot ended, decided from what it left behind. Pure; the table is in `history_test.rs`.

use serde::{Deserialize, Serialize};

use super::{Asker, Boot, End, Ending};
use crate::facts::SlotFacts;
use crate::slot::Slot;
use crate::slot_state::{Reason, State};

/// The units whose requests are updates: into a newer release, and back to the one before on an operator's wish.
const UPDATERS: [&str; 2] = ["update", "rollback"];
/// The unit that asks for a reboot only when a release did not prove itself.
const JUDGE: &str = "mark-good";

/// Why a boot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A person, a button or a service wanted it.
    AskedFor,
    /// To start another release.
    Update,
    /// The kernel panicked.
    Panic,
    /// The watchdog reset a machine that hung.
    Watchdog,
    /// The root did not match its hash, or could not be read.
    Corruption,
    /// A slot on trial did not come up.
    FailedHealth,
    /// Nothing was left behind: lost power, or a reset from outside.
    PowerLoss,
    /// A cause a newer release knows.
    #[serde(other)]
    Unknown,
}

/// What the next boot finds.
#[derive(Debug, Clone, Default)]
pub struct Evidence<'a> {
    /// What PID 1 left, if the machine went down in order.
    pub ending: Option<&'a Ending>,
    /// What the kernel or the watchdog left, with its number (0: none) and the kernel's last line.
    pub trace: Option<(Reason, u64, Option<&'a str>)>,
    /// When the machine was last seen alive, seconds since 1970.
    pub last_alive: Option<u64>,
    /// The slots before this boot was counted.
    pub slots: Option<[SlotFacts; 2]>,
}

impl Evidence<'_> {
    /// Without a trace that an earlier boot has told of: some cannot be removed.
    pub(super) fn unless_told_already(&self, boots: &[Boot]) -> Self {
        let told = |number: u64| {
            let mut traces = boots.iter().filter_map(|boot| boot.end.as_ref()?.trace);
            number != 0 && traces.any(|trace| trace == number)
        };
        Evidence {
            trace: self.trace.filter(|(_, number, _)| !told(*number)),
            ..self.clone()
        }
    }
}

/// What is concluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How the boot ended.
    pub end: End,
    /// What befell the machine after its orderly end and before this boot.
    pub later: Option<End>,
}

/// Why `last` ended. An orderly end comes before any trace: what left one then came after it.
#[must_use]
pub fn decide_cause(evidence: &Evidence<'_>, last: &Boot) -> Verdict {
    let traced = evidence.trace.map(|(reason, number, line)| {
        let (cause, words) = of_trace(reason, line);
        let mut end = plain(cause, words);
        end.trace = (number != 0).then_some(number);
        end
    });
    match (evidence.ending, traced) {
        (Some(ending), later) => Verdict {
            end: of_ending(ending),
            later: later.map(|end| End {
                words: format!("after the orderly end: {}", end.words),
                ..end
            }),
        },
        (None, Some(end)) => Verdict {
            end: with_life(end, evidence.last_alive, last),
            later: None,
        },
        (None, None) => {
            let words = "power was lost, or the machine was reset from outside: there is no orderly end, no last word \
                         of the kernel, and no reset by the watchdog";
            let end = plain(Cause::PowerLoss, words.to_owned());
            Verdict {
                end: with_life(end, evidence.last_alive, last),
                later: None,
            }
        }
    }
}

/// Attempts since `before` that never came far enough to be written down, told by what they cost their slot.
#[must_use]
pub fn decide_attempts(before: &[SlotFacts; 2], now: &[SlotFacts; 2]) -> Vec<(Slot, String, End)> {
    let slots = Slot::ALL.into_iter().zip(before.iter().zip(now));
    let told = |(slot, (before, now)): (Slot, (&SlotFacts, &SlotFacts))| {
        let other_release = before.version != now.version;
        let lost = now.tries < before.tries || (now.state == State::Bad && before.state != State::Bad);
        let (cause, what) = of_reason(now.reason)?;
        let end = plain(cause, format!("slot {slot}: {what}"));
        (lost && !other_release).then(|| (slot, now.version.clone(), end))
    };
    slots.filter_map(told).collect()
}

fn plain(cause: Cause, words: String) -> End {
    End {
        cause,
        words,
        ending: None,
        trace: None,
        last_alive: None,
    }
}

/// The clock that was saved counts only if it is from that boot.
fn with_life(end: End, last_alive: Option<u64>, last: &Boot) -> End {
    let since = last.started.unwrap_or(u64::MAX);
    End {
        last_alive: last_alive.filter(|alive| *alive >= since),
        ..end
    }
}

fn of_ending(ending: &Ending) -> End {
    let cause = match &ending.asker {
        Asker::FailedBoot { .. } => Cause::FailedHealth,
        Asker::Request { unit: Some(unit), .. } if UPDATERS.contains(&unit.as_str()) => Cause::Update,
        Asker::Request { unit: Some(unit), .. } if unit == JUDGE => Cause::FailedHealth,
        _ => Cause::AskedFor,
    };
    let kind = match ending.kind {
        super::Kind::Reboot => "reboot",
        super::Kind::PowerOff => "power off",
    };
    let words = format!("{kind} was asked for {}", ending.asker);
    End {
        ending: Some(ending.clone()),
        last_alive: Some(ending.at),
        ..plain(cause, words)
    }
}

fn of_trace(reason: Reason, line: Option<&str>) -> (Cause, String) {
    let last_words = line.map_or(String::new(), |line| format!(": {line}"));
    match reason {
        Reason::Corruption => (
            Cause::Corruption,
            format!("the root does not match its hash{last_words}"),
        ),
        Reason::Watchdog => (
            Cause::Watchdog,
            "the machine hung, and the watchdog reset it".to_owned(),
        ),
        _ => (Cause::Panic, format!("the kernel gave up{last_words}")),
    }
}

/// What a slot's lost try says of a boot that was not written down. A panic or a reset by the watchdog is told by its
/// trace.
fn of_reason(reason: Reason) -> Option<(Cause, &'static str)> {
    match reason {
        Reason::Corruption => Some((Cause::Corruption, "its root does not match its hash or cannot be read")),
        Reason::Other => Some((Cause::Corruption, "its root could not be opened")),
        Reason::Health => Some((Cause::FailedHealth, "it did not become healthy")),
        Reason::Tries => Some((
            Cause::FailedHealth,
            "it was given up, since it did not come up in any of its tries",
        )),
        Reason::None | Reason::Panic | Reason::Watchdog | Reason::Replaced => None,
    }
}
