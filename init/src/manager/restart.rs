//! When a unit that ended is started again: restart policy, back-off and start limit. Pure.

use std::time::Duration;

use super::state::{History, Outcome};
use crate::unit::{Restart, Service};

/// Running this long makes up for earlier failures.
pub const STABLE_AFTER: Duration = Duration::from_secs(10);

/// What becomes of a unit that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is started again.
    Again {
        /// When.
        at: Duration,
    },
    /// It may rest.
    Rest,
    /// It is given up.
    GiveUp {
        /// Why, for people.
        reason: String,
    },
}

/// Decides after an end at `now`.
#[must_use]
pub fn decide_restart(service: &Service, history: &History, outcome: &Outcome, now: Duration) -> Verdict {
    let wanted = match service.restart {
        Restart::Always => true,
        Restart::OnFailure => matches!(outcome, Outcome::Failure(_)),
        Restart::Never => false,
    };
    match outcome {
        Outcome::Clean if !wanted => Verdict::Rest,
        Outcome::Failure(reason) if !wanted => Verdict::GiveUp { reason: reason.clone() },
        _ if is_exhausted(service, history, now) => Verdict::GiveUp {
            reason: describe_limit(service, outcome),
        },
        _ => Verdict::Again {
            at: now + delay(service, history.ends),
        },
    }
}

/// Why a unit that ended well must not be started once more at `now`, if it must not.
#[must_use]
pub fn check_limit(service: &Service, history: &History, now: Duration) -> Option<String> {
    is_exhausted(service, history, now).then(|| describe_limit(service, &Outcome::Clean))
}

impl History {
    /// Records a start.
    pub fn record_start(&mut self, burst: u32, now: Duration) {
        self.starts.push_back(now);
        while self.starts.len() > burst as usize {
            self.starts.pop_front();
        }
    }

    /// Records an end after having been ready for `ready_for`.
    pub fn record_end(&mut self, ready_for: Duration) {
        self.ends = if ready_for >= STABLE_AFTER {
            0
        } else {
            self.ends.saturating_add(1)
        };
    }
}

fn is_exhausted(service: &Service, history: &History, now: Duration) -> bool {
    let window = now.saturating_sub(service.start_limit.interval);
    let recent = history.starts.iter().filter(|start| **start >= window).count();
    recent >= service.start_limit.burst as usize
}

/// Doubles with each end in a row; `ends` counts the one just recorded.
fn delay(service: &Service, ends: u32) -> Duration {
    let doublings = ends.saturating_sub(1).min(20);
    service
        .restart_delay
        .saturating_mul(1 << doublings)
        .min(service.restart_delay_max)
}

fn describe_limit(service: &Service, outcome: &Outcome) -> String {
    let reason = match outcome {
        Outcome::Clean => "ended with code 0",
        Outcome::Failure(reason) => reason,
    };
    let limit = service.start_limit;
    format!(
        "{reason}; given up after {} starts within {:?}",
        limit.burst, limit.interval
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(restart: &str) -> Service {
        let text = format!(
            "schema = 1\n[unit]\ndescription = \"t\"\nkind = \"service\"\n[service]\nexec = [\"/x\"]\nrestart = {restart:?}\n\
             restart-delay = \"100ms\"\nrestart-delay-max = \"1s\"\nstart-limit = {{ burst = 3, interval = \"10s\" }}\n"
        );
        crate::unit::parse("t", &text).unwrap().service.unwrap()
    }

    #[test]
    fn policies() {
        let failure = Outcome::Failure("exited with code 1".into());
        for (policy, outcome, again) in [
            ("always", &Outcome::Clean, true),
            ("always", &failure, true),
            ("on-failure", &Outcome::Clean, false),
            ("on-failure", &failure, true),
            ("never", &failure, false),
        ] {
            let verdict = decide_restart(&service(policy), &History::default(), outcome, Duration::ZERO);
            assert_eq!(matches!(verdict, Verdict::Again { .. }), again, "{policy} {outcome:?}");
        }
    }

    #[test]
    fn delays_double_up_to_the_largest_and_start_over_after_a_stable_run() {
        let (service, mut history) = (service("always"), History::default());
        let mut delays = Vec::new();
        for _ in 0..6 {
            history.record_end(Duration::ZERO);
            if let Verdict::Again { at } = decide_restart(&service, &history, &Outcome::Clean, Duration::ZERO) {
                delays.push(at.as_millis());
            }
        }
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
        history.record_end(STABLE_AFTER);
        assert_eq!(history.ends, 0);
    }

    #[test]
    fn the_start_limit_gives_up_and_forgets_old_starts() {
        let (service, mut history) = (service("always"), History::default());
        for second in [0, 1, 2] {
            history.record_start(3, Duration::from_secs(second));
        }
        let at = |second| decide_restart(&service, &history, &Outcome::Clean, Duration::from_secs(second));
        let Verdict::GiveUp { reason } = at(3) else {
            panic!("not given up")
        };
        assert_eq!(reason, "ended with code 0; given up after 3 starts within 10s");
        assert!(matches!(at(11), Verdict::Again { .. }));
    }
}
