//! What to do with an offset: step, slew, wait or refuse; and when to ask again. Pure.

use std::time::Duration;

/// Offsets up to here are slewed away: the kernel manages half a millisecond a second.
const LARGEST_SLEW: f64 = 0.128;
/// Offsets up to here mean that the clock runs well.
const SMALL: f64 = 0.010;
/// Rounds a large offset must persist before a clock that was right is stepped.
const PATIENCE: u32 = 2;
/// Time between rounds: at first, and at most.
const FIRST: Duration = Duration::from_secs(64);
const LONGEST: Duration = Duration::from_secs(2048);
/// After a failed round, at first.
const RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(256);

/// What to do with the clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Correction {
    /// Set it to this time since 1970.
    Step(Duration),
    /// Let it gain (lose) so many microseconds over time.
    Slew(i64),
    /// Nothing yet: ask again first.
    Wait,
    /// The server says a time before the floor: it is wrong.
    BeforeFloor,
}

/// Memory from round to round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discipline {
    /// The clock was right once.
    synchronised: bool,
    large: u32,
    failures: u32,
    interval: Duration,
}

impl Default for Discipline {
    fn default() -> Self {
        Self {
            synchronised: false,
            large: 0,
            failures: 0,
            interval: FIRST,
        }
    }
}

impl Discipline {
    /// True once the clock was set by a server.
    pub fn is_synchronised(&self) -> bool {
        self.synchronised
    }

    /// Decides about an offset in seconds at this time, with this floor, both since 1970.
    pub fn correct(&mut self, offset: f64, now: Duration, floor: Duration) -> Correction {
        let Some(target) = shifted(now, offset).filter(|target| *target >= floor) else {
            self.fail();
            return Correction::BeforeFloor;
        };
        self.failures = 0;
        if offset.abs() <= LARGEST_SLEW {
            self.large = 0;
            self.synchronised = true;
            self.interval = if offset.abs() <= SMALL {
                (self.interval * 2).min(LONGEST)
            } else {
                FIRST
            };
            return Correction::Slew((offset * 1e6).round() as i64);
        }
        self.large += 1;
        self.interval = FIRST;
        if self.synchronised && self.large < PATIENCE {
            return Correction::Wait;
        }
        self.large = 0;
        self.synchronised = true;
        Correction::Step(target)
    }

    /// A round without a usable answer.
    pub fn fail(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Time until the next round.
    pub fn pause(&self) -> Duration {
        match self.failures {
            0 => self.interval,
            failures => (RETRY * 2u32.saturating_pow((failures - 1).min(10))).min(LONGEST_RETRY),
        }
    }
}

fn shifted(now: Duration, offset: f64) -> Option<Duration> {
    let change = Duration::try_from_secs_f64(offset.abs()).ok()?;
    if offset < 0.0 {
        now.checked_sub(change)
    } else {
        now.checked_add(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_790_000_000);
    const FLOOR: Duration = Duration::from_secs(1_780_000_000);

    #[test]
    fn the_first_large_offset_is_stepped_and_small_ones_are_slewed() {
        let mut discipline = Discipline::default();
        assert_eq!(
            discipline.correct(3600.0, NOW, FLOOR),
            Correction::Step(NOW + Duration::from_secs(3600))
        );
        assert!(discipline.is_synchronised());
        assert_eq!(discipline.correct(-0.1, NOW, FLOOR), Correction::Slew(-100_000));
        let mut discipline = Discipline::default();
        assert_eq!(
            discipline.correct(-60.0, NOW, FLOOR),
            Correction::Step(NOW - Duration::from_secs(60))
        );
    }

    #[test]
    fn a_clock_that_was_right_is_stepped_only_when_the_offset_persists() {
        let mut discipline = Discipline::default();
        discipline.correct(0.0, NOW, FLOOR);
        assert_eq!(discipline.correct(5.0, NOW, FLOOR), Correction::Wait);
        assert_eq!(discipline.correct(0.0, NOW, FLOOR), Correction::Slew(0));
        assert_eq!(discipline.correct(5.0, NOW, FLOOR), Correction::Wait);
        assert!(matches!(discipline.correct(5.0, NOW, FLOOR), Correction::Step(_)));
    }

    #[test]
    fn never_before_the_floor() {
        let mut discipline = Discipline::default();
        for offset in [-20_000_000.0, -1e300, f64::NAN] {
            assert_eq!(discipline.correct(offset, NOW, FLOOR), Correction::BeforeFloor);
        }
        assert!(!discipline.is_synchronised());
    }

    #[test]
    fn rounds_become_rarer_when_all_is_well() {
        let mut discipline = Discipline::default();
        assert_eq!(discipline.pause(), FIRST);
        for _ in 0..20 {
            discipline.correct(0.001, NOW, FLOOR);
        }
        assert_eq!(discipline.pause(), LONGEST);
        discipline.correct(0.05, NOW, FLOOR);
        assert_eq!(discipline.pause(), FIRST);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            discipline.fail();
            pauses.push(discipline.pause().as_secs());
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 256, 256]);
    }
}
