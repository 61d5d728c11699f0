//! Restart policy: whether and when a container that ended runs again. Pure; knows no clock.
//!
//! Docker's rules: the first delay is 100 ms, each further one twice as long up to one minute, and
//! a run of ten seconds or more starts the row anew.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The first delay.
pub const FIRST_DELAY: Duration = Duration::from_millis(100);
/// No delay is longer.
pub const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// A run this long starts the row anew.
pub const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// Whenever it ends.
    Always,
    /// When it ends with another code than 0.
    OnFailure {
        /// At most this often; 0 has no end.
        max: u32,
    },
    /// Whenever it ends, but not after a machine's restart if it had been stopped by hand.
    UnlessStopped,
}

impl RestartPolicy {
    /// Docker's name.
    pub fn name(self) -> &'static str {
        match self {
            RestartPolicy::No => "no",
            RestartPolicy::Always => "always",
            RestartPolicy::OnFailure { .. } => "on-failure",
            RestartPolicy::UnlessStopped => "unless-stopped",
        }
    }

    /// Docker's `MaximumRetryCount`.
    pub fn max_retries(self) -> u32 {
        match self {
            RestartPolicy::OnFailure { max } => max,
            _ => 0,
        }
    }
}

/// The row of delays of one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Backoff {
    /// Restarts in this row, for the limit of `on-failure`.
    pub attempts: u32,
    /// The delay that was used last, in milliseconds; 0 before the first.
    pub last_ms: u64,
}

impl Backoff {
    /// The row after one more restart of a run that lasted `ran`, and the delay before it.
    pub fn next(self, ran: Duration) -> (Backoff, Duration) {
        let last = Duration::from_millis(self.last_ms);
        let delay = if last.is_zero() || ran >= SETTLED_AFTER {
            FIRST_DELAY
        } else {
            last.saturating_mul(2).min(LONGEST_DELAY)
        };
        let attempts = if ran >= SETTLED_AFTER { 0 } else { self.attempts };
        let last_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        (
            Backoff {
                attempts: attempts.saturating_add(1),
                last_ms,
            },
            delay,
        )
    }
}

/// Decides whether a container that ended with `exit_code` after `ran` runs again, and after
/// which delay. `None` leaves it ended.
pub fn decide_restart(
    policy: RestartPolicy,
    backoff: Backoff,
    exit_code: i32,
    ran: Duration,
) -> Option<(Backoff, Duration)> {
    let again = match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnFailure { max } => {
            exit_code != 0 && (max == 0 || ran >= SETTLED_AFTER || backoff.attempts < max)
        }
    };
    again.then(|| backoff.next(ran))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    fn delays(n: usize) -> Vec<u128> {
        let mut row = Backoff::default();
        (0..n)
            .map(|_| {
                let (next, delay) = row.next(SHORT);
                row = next;
                delay.as_millis()
            })
            .collect()
    }

    #[test]
    fn delays_double_from_100_ms_to_one_minute() {
        let got = delays(12);
        assert_eq!(&got[..4], [100, 200, 400, 800]);
        assert_eq!(&got[9..], [51_200, 60_000, 60_000]);
    }

    #[test]
    fn a_settled_run_starts_the_row_anew() {
        let row = Backoff {
            attempts: 7,
            last_ms: 12_800,
        };
        let (row, delay) = row.next(SETTLED_AFTER);
        assert_eq!((row.attempts, delay), (1, FIRST_DELAY));
    }

    #[test]
    fn policies_decide_as_docker_does() {
        let table = [
            (RestartPolicy::No, 0, 1, false),
            (RestartPolicy::Always, 99, 0, true),
            (RestartPolicy::UnlessStopped, 99, 0, true),
            (RestartPolicy::OnFailure { max: 0 }, 99, 1, true),
            (RestartPolicy::OnFailure { max: 0 }, 0, 0, false),
            (RestartPolicy::OnFailure { max: 3 }, 2, 1, true),
            (RestartPolicy::OnFailure { max: 3 }, 3, 1, false),
        ];
        for (policy, attempts, code, want) in table {
            let row = Backoff { attempts, last_ms: 100 };
            let got = decide_restart(policy, row, code, SHORT).is_some();
            assert_eq!(got, want, "{policy:?} after {attempts} attempts, code {code}");
        }
    }

    proptest::proptest! {
        #[test]
        fn delays_stay_within_bounds(attempts in 0u32.., last in 0u64..10_000_000, ran in 0u64..100_000) {
            let (_, delay) = Backoff { attempts, last_ms: last }.next(Duration::from_millis(ran));
            proptest::prop_assert!(delay >= FIRST_DELAY && delay <= LONGEST_DELAY);
        }
    }
}
