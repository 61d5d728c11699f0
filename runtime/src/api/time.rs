//! Times as Docker shows them. Pure.

use std::time::Duration;

use jiff::Timestamp;

use crate::engine::container::{ContainerState, Phase};

/// RFC 3339 with nanoseconds.
pub fn rfc3339(time: Timestamp) -> String {
    format!("{time:.9}")
}

/// The same, and Docker's zero for a time that has not come.
pub fn rfc3339_or_zero(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), rfc3339)
}

/// `Up 3 minutes`, `Exited (0) 2 hours ago`, ...
pub fn status_text(state: &ContainerState, now: Timestamp) -> String {
    let since = |time: Option<Timestamp>| {
        let passed = time.map(|time| now.duration_since(time));
        let passed = passed.and_then(|passed| Duration::try_from(passed).ok());
        rough(passed.unwrap_or_default())
    };
    match state.phase {
        Phase::Created | Phase::Starting => "Created".to_owned(),
        Phase::Running if state.paused => format!("Up {} (Paused)", since(state.started_at)),
        Phase::Running => format!("Up {}", since(state.started_at)),
        Phase::Restarting => {
            format!("Restarting ({}) {} ago", state.exit_code, since(state.finished_at))
        }
        Phase::Exited => format!("Exited ({}) {} ago", state.exit_code, since(state.finished_at)),
        Phase::Removing => "Removal In Progress".to_owned(),
        Phase::Dead => "Dead".to_owned(),
    }
}

/// A duration as people say it, in Docker's words.
fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..=59 => format!("{seconds} seconds"),
        60..=119 => "About a minute".to_owned(),
        120..=3599 if minutes < 46 => format!("{minutes} minutes"),
        _ if hours <= 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 14 => format!("{} days", hours / 24),
        _ if hours < 24 * 60 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// A moment as `since` and `until` give it: seconds with a fraction, or RFC 3339.
pub fn parse_moment(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().ok()?;
    let digits = format!("{fraction:0<9}");
    let nanoseconds: i32 = digits.get(..9)?.parse().ok()?;
    Timestamp::new(seconds, nanoseconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_say_them() {
        let table = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (180, "3 minutes"),
            (3000, "About an hour"),
            (7200, "2 hours"),
            (3 * 86_400, "3 days"),
            (20 * 86_400, "2 weeks"),
            (100 * 86_400, "3 months"),
            (800 * 86_400, "2 years"),
        ];
        for (seconds, want) in table {
            assert_eq!(rough(Duration::from_secs(seconds)), want);
        }
    }

    #[test]
    fn moments() {
        let at = |s, n| Timestamp::new(s, n).ok();
        assert_eq!(parse_moment("12.5"), at(12, 500_000_000));
        assert_eq!(parse_moment("12"), at(12, 0));
        assert_eq!(parse_moment("1970-01-01T00:00:12Z"), at(12, 0));
        assert_eq!(parse_moment("yesterday"), None);
        assert_eq!(rfc3339(Timestamp::new(1, 5).unwrap()), "1970-01-01T00:00:01.000000005Z");
    }

    #[test]
    fn states_as_ps_shows_them() {
        let now = Timestamp::from_second(1000).unwrap();
        let before = Some(Timestamp::from_second(820).unwrap());
        let state = |phase| ContainerState {
            phase,
            exit_code: 3,
            started_at: before,
            finished_at: before,
            ..ContainerState::default()
        };
        let table = [
            (Phase::Created, "Created"),
            (Phase::Running, "Up 3 minutes"),
            (Phase::Exited, "Exited (3) 3 minutes ago"),
            (Phase::Restarting, "Restarting (3) 3 minutes ago"),
        ];
        for (phase, want) in table {
            assert_eq!(status_text(&state(phase), now), want);
        }
    }
}
