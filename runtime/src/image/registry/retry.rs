//! Whether and when to try again. Pure.

use std::time::Duration;

/// How patient a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all.
    pub attempts: u32,
    /// Pause after the first failure; doubles with each.
    pub base: Duration,
    /// Longest pause, what the server asks for included.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
        }
    }
}

/// How a try failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or it broke.
    Transport,
    /// This status; the server may say how many seconds to wait.
    Status(u16, Option<u64>),
}

/// The pause before the next try, `None` when there is none. `attempt` counts from 1.
#[must_use]
pub fn decide_retry(policy: &RetryPolicy, attempt: u32, failure: Failure) -> Option<Duration> {
    if attempt >= policy.attempts {
        return None;
    }
    let backoff = policy.base.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    let pause = match failure {
        Failure::Transport | Failure::Status(408 | 500 | 502..=504, None) => backoff,
        Failure::Status(408 | 429 | 500 | 502..=504, asked) => asked.map_or(backoff, Duration::from_secs).max(backoff),
        Failure::Status(..) => return None,
    };
    Some(pause.min(policy.cap))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_each_time_and_gives_up() {
        let policy = RetryPolicy::default();
        let pauses: Vec<Option<u128>> = (1..=5)
            .map(|n| decide_retry(&policy, n, Failure::Transport).map(|pause| pause.as_millis()))
            .collect();
        assert_eq!(pauses, [Some(500), Some(1000), Some(2000), Some(4000), None]);
    }

    #[test]
    fn listens_to_the_server_within_reason() {
        let policy = RetryPolicy::default();
        for (status, asked, pause) in [
            (429, Some(3), Some(3000)),
            (429, Some(9999), Some(30_000)),
            (429, None, Some(500)),
            (503, Some(0), Some(500)),
            (404, None, None),
            (401, None, None),
            (501, None, None),
        ] {
            let decided = decide_retry(&policy, 1, Failure::Status(status, asked));
            assert_eq!(decided.map(|pause| pause.as_millis()), pause, "{status}");
        }
    }
}
