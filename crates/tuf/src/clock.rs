//! The time that expiry is judged by.
//!
//! A machine whose clock stands in the past would take metadata for fresh that expired long ago. So the caller says
//! whether its clock can be trusted, and the latest time at which everything was in order is kept: no clock goes behind
//! it any more. It is only kept when nothing had expired by then, so a clock that ran ahead once cannot lock a machine
//! out: it would have found the timestamp expired.

use jiff::{SignedDuration, Timestamp};

/// The caller's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Synchronised, or a real-time clock past the floor it is held against.
    Trusted(Timestamp),
    /// Not known to be right: nothing can be judged yet.
    Untrusted,
}

/// A later time is only written down when it is later by this much, so that polls do not wear the disk.
const STEP: SignedDuration = SignedDuration::from_mins(10);

/// The time a run is judged by, taken once: the clock's, but never before the latest time seen. Nothing if the clock
/// is not trusted.
#[must_use]
pub fn decide_now(clock: Clock, latest: Option<Timestamp>) -> Option<Timestamp> {
    match clock {
        Clock::Trusted(now) => Some(latest.map_or(now, |latest| latest.max(now))),
        Clock::Untrusted => None,
    }
}

/// Whether `now` is worth being written down as the latest time seen.
#[must_use]
pub fn is_later(now: Timestamp, latest: Option<Timestamp>) -> bool {
    latest.is_none_or(|latest| now.duration_since(latest) >= STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn no_clock_goes_behind_the_latest_time_seen() {
        assert_eq!(decide_now(Clock::Trusted(at(50)), None), Some(at(50)));
        assert_eq!(decide_now(Clock::Trusted(at(50)), Some(at(40))), Some(at(50)));
        assert_eq!(decide_now(Clock::Trusted(at(39)), Some(at(40))), Some(at(40)));
        assert_eq!(decide_now(Clock::Trusted(at(0)), Some(at(40))), Some(at(40)));
        assert_eq!(decide_now(Clock::Untrusted, Some(at(40))), None);
    }

    #[test]
    fn polls_do_not_write_each_time() {
        assert!(is_later(at(0), None));
        assert!(!is_later(at(599), Some(at(0))));
        assert!(is_later(at(600), Some(at(0))));
        assert!(!is_later(at(0), Some(at(600))));
    }
}
