//! Values written in unit files: durations (`100ms`), sizes (`64M`), modes (`"0660"`), signals. Pure parsers.

use std::time::Duration;

/// What a value should have looked like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a duration.
    #[error("expected a duration such as \"100ms\", \"30s\" or \"5min\"")]
    Duration,
    /// Not a size.
    #[error("expected a size such as \"64M\" or \"1G\"")]
    Size,
    /// Not permission bits.
    #[error("expected permission bits such as \"0660\"")]
    Mode,
    /// Not a signal.
    #[error("expected a signal such as \"SIGTERM\"")]
    Signal,
}

/// Parses a number followed by `ms`, `s`, `min` or `h`.
///
/// # Errors
/// [`ValueError::Duration`].
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let (number, unit) = split_number(text).ok_or(ValueError::Duration)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(ValueError::Duration),
    };
    let total = number.checked_mul(milliseconds).ok_or(ValueError::Duration)?;
    // A year is longer than anything a unit means; the bound keeps additions to the clock from overflowing.
    if total > 366 * 24 * 3_600_000 {
        return Err(ValueError::Duration);
    }
    Ok(Duration::from_millis(total))
}

/// Parses a number of bytes, optionally followed by `K`, `M` or `G` (powers of 1024).
///
/// # Errors
/// [`ValueError::Size`].
pub fn parse_size(text: &str) -> Result<u64, ValueError> {
    let (number, unit) = split_number(text).ok_or(ValueError::Size)?;
    let factor = match unit {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return Err(ValueError::Size),
    };
    number.checked_mul(factor).ok_or(ValueError::Size)
}

/// Parses octal permission bits.
///
/// # Errors
/// [`ValueError::Mode`].
pub fn parse_mode(text: &str) -> Result<u32, ValueError> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 && text.len() <= 4 => Ok(mode),
        _ => Err(ValueError::Mode),
    }
}

/// Parses the name of a signal that may be sent to a service.
///
/// # Errors
/// [`ValueError::Signal`].
pub fn parse_signal(text: &str) -> Result<i32, ValueError> {
    const SIGNALS: [(&str, i32); 9] = [
        ("SIGHUP", 1),
        ("SIGINT", 2),
        ("SIGQUIT", 3),
        ("SIGABRT", 6),
        ("SIGKILL", 9),
        ("SIGUSR1", 10),
        ("SIGUSR2", 12),
        ("SIGTERM", 15),
        ("SIGWINCH", 28),
    ];
    SIGNALS
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, number)| *number)
        .ok_or(ValueError::Signal)
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit))
}

/// Durations inside structures that are read with serde, as text.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes milliseconds.
    ///
    /// # Errors
    /// Whatever the serializer says.
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}ms", value.as_millis()))
    }

    /// Reads text such as `30s`.
    ///
    /// # Errors
    /// [`super::ValueError::Duration`], carried by the deserializer's error.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_duration(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("100ms", Some(100)),
            ("30s", Some(30_000)),
            ("5min", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("0s", Some(0)),
            ("30", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
            ("9000h", None),
        ] {
            assert_eq!(parse_duration(text).ok(), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes_modes_and_signals() {
        assert_eq!(parse_size("64M"), Ok(64 << 20));
        assert_eq!(parse_size("512"), Ok(512));
        assert_eq!(parse_size("64MB"), Err(ValueError::Size));
        assert_eq!(parse_size("18446744073709551615G"), Err(ValueError::Size));
        assert_eq!(parse_mode("0660"), Ok(0o660));
        assert_eq!(parse_mode("660"), Ok(0o660));
        assert_eq!(parse_mode("04755"), Err(ValueError::Mode));
        assert_eq!(parse_mode("0888"), Err(ValueError::Mode));
        assert_eq!(parse_signal("SIGTERM"), Ok(15));
        assert_eq!(parse_signal("TERM"), Err(ValueError::Signal));
    }
}
