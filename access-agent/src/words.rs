//! Figures as people read them.

use std::time::Duration;

use jiff::Timestamp;

/// `2 d 3 h`, `5 min 2 s`, `0.4 s`: two units at most.
#[must_use]
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10 => format!("{:.1} s", time.as_secs_f64()),
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// `512 MiB`, `3.2 GiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut name) = (bytes as f64 / 1024.0, "KiB");
    for unit in UNITS.into_iter().skip(1) {
        if value < 1024.0 {
            break;
        }
        (value, name) = (value / 1024.0, unit);
    }
    if value < 10.0 && name != "KiB" {
        format!("{value:.1} {name}")
    } else {
        format!("{value:.0} {name}")
    }
}

/// Seconds since 1970 as RFC 3339.
#[must_use]
pub fn moment(seconds: u64) -> String {
    let at = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.map_or("an unknown time".to_owned(), |at| at.to_string())
}

/// `1 service`, `2 services`.
#[must_use]
pub fn count(number: usize, what: &str) -> String {
    if number == 1 {
        format!("1 {what}")
    } else {
        format!("{number} {what}s")
    }
}

/// A value of the protocol in its own word, `back-off`.
#[must_use]
pub fn word(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "unknown".to_owned(),
    }
}

/// Lines of two columns, the first as wide as its widest.
#[must_use]
pub fn columns(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    let line = |(left, right): &(String, String)| format!("{left:width$}  {right}").trim_end().to_owned() + "\n";
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_two_units_at_most() {
        let spans = [
            (0, "0.0 s"),
            (400, "0.4 s"),
            (42_000, "42 s"),
            (302_000, "5 min 2 s"),
            (7_380_000, "2 h 3 min"),
            (183_600_000, "2 d 3 h"),
        ];
        for (milliseconds, expected) in spans {
            assert_eq!(span(Duration::from_millis(milliseconds)), expected);
        }
        let sizes = [
            (0, "0 KiB"),
            (1 << 20, "1.0 MiB"),
            (512 << 20, "512 MiB"),
            (3_435_973_837, "3.2 GiB"),
        ];
        for (bytes, expected) in sizes {
            assert_eq!(size(bytes), expected);
        }
        assert_eq!(moment(1_795_520_000), "2026-11-24T11:33:20Z");
        assert_eq!(moment(u64::MAX), "an unknown time");
    }
}
