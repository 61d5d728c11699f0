//! What can go wrong with a metadata service, what a person can do about it, and when to ask again. Pure.

use std::time::Duration;

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The machine has no address yet, or no way there.
    #[error("there is no route to it: is the network up, and does the lease have a router?")]
    NoRoute,
    /// Nobody listens.
    #[error("nobody listens there: the metadata service is switched off or not there")]
    Refused,
    /// Not even a connection.
    #[error("it cannot be connected to in time: a firewall or the network lies between")]
    NoConnection,
    /// A connection and then nothing.
    #[error(
        "{path}: it takes the connection and sends nothing, or too slowly: if the machine is behind a router, raise the instance's hop \
         limit (HttpPutResponseHopLimit)"
    )]
    Silent {
        /// What was asked.
        path: String,
    },
    /// The platform's owner switched it off.
    #[error("it refuses tokens (code {code}): enable the metadata service with version 2 for this instance")]
    NoTokens {
        /// HTTP status.
        code: u16,
    },
    /// Any other answer than the one expected.
    #[error("{path}: it answers with code {code}")]
    Status {
        /// What was asked.
        path: String,
        /// HTTP status.
        code: u16,
    },
    /// An answer that is not one.
    #[error("{path}: {what}")]
    Broken {
        /// What was asked.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Failure {
    /// Whether asking again soon can help; otherwise it is reported at once, and asking goes on slowly.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NoTokens { .. } => false,
            Self::Status { code, .. } => matches!(code, 401 | 408 | 425 | 429 | 500..),
            _ => true,
        }
    }
}

/// First pause, and the pause while the network is not up, when asking costs nothing.
const FIRST: Duration = Duration::from_millis(100);
/// Longest pause within the budget.
const LONGEST: Duration = Duration::from_secs(2);

/// The pause after an attempt, the first being 1; `jitter` is between 0 and 255.
#[must_use]
pub fn pause(failure: &Failure, attempt: u32, jitter: u8) -> Duration {
    if *failure == Failure::NoRoute {
        return FIRST;
    }
    let pause = FIRST
        .saturating_mul(1 << attempt.saturating_sub(1).min(10))
        .min(LONGEST);
    // Up to a quarter less, so that machines that start together do not ask together.
    pause - pause / 4 * u32::from(jitter) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_two_seconds() {
        let failure = Failure::Refused;
        let pauses: Vec<u128> = (1..8).map(|attempt| pause(&failure, attempt, 0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(pause(&failure, 1, 255).as_millis(), 75);
        assert_eq!(pause(&failure, u32::MAX, 0), LONGEST);
        assert_eq!(pause(&Failure::NoRoute, 9, 255), FIRST);
    }

    #[test]
    fn what_a_person_must_change_is_not_waited_for() {
        let status = |code| Failure::Status {
            path: "/".to_owned(),
            code,
        };
        for (failure, expected) in [
            (Failure::NoTokens { code: 403 }, false),
            (status(404), false),
            (status(301), false),
            (status(429), true),
            (status(503), true),
            (status(401), true),
            (Failure::NoConnection, true),
        ] {
            assert_eq!(failure.may_pass(), expected, "{failure}");
        }
    }
}
