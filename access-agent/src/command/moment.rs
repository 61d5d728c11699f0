//! Points in time as people write them: `-1h`, `today`, `2026-11-24 09:30`, RFC 3339.

use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// A point in time, as given: some are relative to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// So long before now.
    Ago(SignedDuration),
    /// Midnight (UTC) so many days before today.
    Midnight {
        /// 0 is today.
        days_ago: i32,
    },
    /// A fixed point.
    At(Timestamp),
}

/// A text is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no point in time; write -90s, -5m, -1h, -2d, today, yesterday, now, 2026-11-24, \"2026-11-24 09:30\" (UTC) or RFC 3339"
)]
pub struct MomentError {
    text: String,
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        parse(text.trim()).ok_or_else(|| MomentError { text: text.to_owned() })
    }
}

impl Moment {
    /// Microseconds since 1970; what lies before that counts as 1970.
    #[must_use]
    pub fn micros(self, now: Timestamp) -> u64 {
        let at = match self {
            Moment::Ago(span) => now.checked_sub(span).unwrap_or(Timestamp::UNIX_EPOCH),
            Moment::Midnight { days_ago } => midnight(now, days_ago).unwrap_or(Timestamp::UNIX_EPOCH),
            Moment::At(at) => at,
        };
        u64::try_from(at.as_microsecond()).unwrap_or(0)
    }
}

fn parse(text: &str) -> Option<Moment> {
    match text {
        "now" => return Some(Moment::Ago(SignedDuration::ZERO)),
        "today" => return Some(Moment::Midnight { days_ago: 0 }),
        "yesterday" => return Some(Moment::Midnight { days_ago: 1 }),
        _ => {}
    }
    if let Some(span) = text.strip_prefix('-').or_else(|| text.strip_suffix(" ago")) {
        return parse_span(span).map(Moment::Ago);
    }
    if let Some(seconds) = text.strip_prefix('@') {
        return Timestamp::from_second(seconds.parse().ok()?).ok().map(Moment::At);
    }
    let utc = |at: DateTime| Offset::UTC.to_timestamp(at).ok();
    let at = text.parse::<Timestamp>().ok();
    at.or_else(|| utc(text.parse::<DateTime>().ok()?)).map(Moment::At)
}

/// `90s`, `5m`, `1h30m`, `2d`; seconds without a unit.
fn parse_span(text: &str) -> Option<SignedDuration> {
    let (mut seconds, mut number) = (0_i64, String::new());
    for letter in text.chars().filter(|letter| *letter != ' ') {
        if letter.is_ascii_digit() {
            number.push(letter);
            continue;
        }
        let unit = match letter {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        let count: i64 = std::mem::take(&mut number).parse().ok()?;
        seconds = seconds.checked_add(count.checked_mul(unit)?)?;
    }
    if !number.is_empty() {
        seconds = seconds.checked_add(number.parse().ok()?)?;
    }
    let empty = text.is_empty() || seconds > i64::MAX / 2;
    (!empty).then(|| SignedDuration::from_secs(seconds))
}

fn midnight(now: Timestamp, days_ago: i32) -> Option<Timestamp> {
    let today = Offset::UTC.to_datetime(now).date();
    let day = today.checked_sub(SignedDuration::from_hours(i64::from(days_ago) * 24));
    Offset::UTC.to_timestamp(day.ok()?.at(0, 0, 0, 0)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn points_in_time_are_understood() {
        let now: Timestamp = "2026-11-24T10:30:00Z".parse().unwrap();
        let table = [
            ("now", "2026-11-24T10:30:00Z"),
            ("-1h", "2026-11-24T09:30:00Z"),
            ("-1h30m", "2026-11-24T09:00:00Z"),
            ("2d ago", "2026-11-22T10:30:00Z"),
            ("-90", "2026-11-24T10:28:30Z"),
            ("today", "2026-11-24T00:00:00Z"),
            ("yesterday", "2026-11-23T00:00:00Z"),
            ("2026-11-24", "2026-11-24T00:00:00Z"),
            ("2026-11-24 09:30", "2026-11-24T09:30:00Z"),
            ("2026-11-24T09:30:15", "2026-11-24T09:30:15Z"),
            ("2026-11-24T09:30:00+02:00", "2026-11-24T07:30:00Z"),
            ("@1", "1970-01-01T00:00:01Z"),
        ];
        for (text, expected) in table {
            let moment: Moment = text.parse().unwrap();
            let expected: Timestamp = expected.parse().unwrap();
            assert_eq!(
                i128::from(moment.micros(now)),
                i128::from(expected.as_microsecond()),
                "{text}"
            );
        }
        for text in [
            "",
            "-",
            "-1x",
            "-h",
            "tomorrow",
            "25:00",
            "2026-13-01",
            "-99999999999999999999w",
        ] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,30}", digits in "-?[0-9]{1,20}[smhdw]?") {
            for text in [text, digits] {
                if let Ok(moment) = text.parse::<Moment>() {
                    let _ = moment.micros(Timestamp::now());
                }
            }
        }
    }
}
