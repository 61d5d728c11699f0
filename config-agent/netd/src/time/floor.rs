//! The time before which the clock never is: the latest of what the hardware says, when the release was
//! made, and the last time this machine was seen alive. Pure.

use std::time::Duration;

/// Saved times later than the release by more than this are damage, not time: twenty years.
const PLAUSIBLE: Duration = Duration::from_secs(20 * 365 * 86_400);

/// The floor, by the release's time and the saved one (seconds since 1970).
pub fn floor(release: Option<Duration>, saved: Option<Duration>) -> Duration {
    let release = release.unwrap_or_default();
    let plausible = |saved: &Duration| release.is_zero() || *saved <= release + PLAUSIBLE;
    saved.filter(plausible).unwrap_or_default().max(release)
}

/// The time to set the clock to; None when it is at or after the floor.
pub fn decide_step(now: Duration, floor: Duration) -> Option<Duration> {
    (now < floor).then_some(floor)
}

/// Reads a saved time: seconds since 1970 in decimal and a line end.
pub fn parse_saved(text: &str) -> Option<Duration> {
    text.trim_end().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_wins() {
        let secs = |seconds| Some(Duration::from_secs(seconds));
        let table = [
            (None, None, 0),
            (secs(1_790_000_000), None, 1_790_000_000),
            (secs(1_790_000_000), secs(1_790_000_500), 1_790_000_500),
            (secs(1_790_000_000), secs(1_700_000_000), 1_790_000_000),
            (secs(1_790_000_000), secs(9_999_999_999), 1_790_000_000),
            (None, secs(1_790_000_500), 1_790_000_500),
        ];
        for (release, saved, expected) in table {
            assert_eq!(floor(release, saved).as_secs(), expected, "{release:?} {saved:?}");
        }
    }

    #[test]
    fn a_hardware_clock_in_1970_is_lifted_and_a_good_one_is_left_alone() {
        let floor = Duration::from_secs(1_790_000_000);
        assert_eq!(decide_step(Duration::from_secs(3), floor), Some(floor));
        assert_eq!(decide_step(floor, floor), None);
        assert_eq!(decide_step(floor * 2, floor), None);
    }

    #[test]
    fn saved_times() {
        assert_eq!(parse_saved("1790000000\n"), Some(Duration::from_secs(1_790_000_000)));
        for text in ["", "x", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(parse_saved(text), None, "{text}");
        }
    }
}
