//! How far a long piece of work is: bytes, rate, time left. Pure.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A piece of work under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meter {
    total: u64,
    done: u64,
}

/// What a person is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done, for instance `writing`.
    pub step: String,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Bytes a second so far.
    pub rate: u64,
    /// Seconds left at that rate, if it can be told.
    pub left: Option<u64>,
}

impl Meter {
    /// Work of `total` bytes.
    #[must_use]
    pub const fn new(total: u64) -> Meter {
        Meter { total, done: 0 }
    }

    /// Counts bytes done.
    pub fn add(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes).min(self.total);
    }

    /// Where it stands after `elapsed`.
    #[must_use]
    pub fn progress(&self, step: &str, elapsed: Duration) -> Progress {
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = self.done.saturating_mul(1000) / millis;
        let left = (self.total - self.done).checked_div(rate);
        Progress {
            step: step.to_owned(),
            done: self.done,
            total: self.total,
            rate,
            left,
        }
    }
}

/// Bytes as people read them.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut scaled = bytes as f64;
    let mut unit = "bytes";
    for next in UNITS {
        if scaled < 1024.0 {
            break;
        }
        (scaled, unit) = (scaled / 1024.0, next);
    }
    if unit == "bytes" {
        format!("{bytes} bytes")
    } else {
        format!("{scaled:.1} {unit}")
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}: {} of {}, {}/s",
            self.step,
            size(self.done),
            size(self.total),
            size(self.rate)
        )?;
        match self.left {
            Some(left) if self.done < self.total => write!(out, ", {left} s left"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_follow_from_what_is_done() {
        let mut meter = Meter::new(100 << 20);
        assert_eq!(meter.progress("writing", Duration::ZERO).left, None);
        meter.add(25 << 20);
        let progress = meter.progress("writing", Duration::from_secs(5));
        assert_eq!((progress.rate, progress.left), (5 << 20, Some(15)));
        assert_eq!(
            progress.to_string(),
            "writing: 25.0 MiB of 100.0 MiB, 5.0 MiB/s, 15 s left"
        );
        meter.add(1 << 40);
        let end = meter.progress("writing", Duration::from_secs(10));
        assert_eq!((end.done, end.left), (100 << 20, Some(0)));
    }

    #[test]
    fn sizes_are_written_with_their_unit() {
        let table = [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (4 << 30, "4.0 GiB"),
            (1 << 60, "1024.0 PiB"),
        ];
        for (bytes, text) in table {
            assert_eq!(size(bytes), text);
        }
    }
}
