//! Amounts: bytes, processors, spans of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ValueError, string_serde};

/// A number of bytes. Text: digits with `K`, `M`, `G` or `T` (powers of 1024); JSON: a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// A share of processors in billionths (0.5 processors = 500 000 000). JSON: that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cpus {
    /// Billionths of one processor, as `NanoCpus` of the engine's API.
    pub nano: u64,
}

/// A span of time. Text: digits with `ms`, `s`, `m` or `h`, largest first (`1m30s`); JSON: the same.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

const UNITS: [(char, u64); 4] = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];

impl FromStr for Bytes {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let cure = "write digits and one of K, M, G, T, for example \"128M\"";
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let suffix = text.get(digits.len()..).unwrap_or_default();
        let factor = match suffix {
            "" => Some(1),
            _ => UNITS
                .iter()
                .find(|(unit, _)| suffix == unit.to_string())
                .map(|(_, n)| *n),
        };
        let Some(factor) = factor else {
            return Err(ValueError::new(format!("{suffix:?} is not a unit of size"), cure));
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ValueError::new("this is not a size", cure));
        }
        let amount: Option<u64> = digits.parse().ok();
        amount
            .and_then(|n| n.checked_mul(factor))
            .map(Self)
            .ok_or_else(|| ValueError::new("the size does not fit in 64 bits", cure))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS
            .iter()
            .rev()
            .find(|(_, n)| self.0 != 0 && self.0.is_multiple_of(*n));
        match unit {
            Some((unit, n)) => write!(f, "{}{unit}", self.0 / n),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Span {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let cure = "write digits and ms, s, m or h, for example \"10s\" or \"1m30s\"";
        let mut rest = text;
        let mut total = Duration::ZERO;
        let mut last = u64::MAX;
        while !rest.is_empty() {
            let (amount, tail) = split_at_non_digit(rest);
            let (unit, tail) = split_at_digit(tail);
            let millis = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "" => return Err(ValueError::new("a span of time needs a unit", cure)),
                _ => return Err(ValueError::new(format!("{unit:?} is not a unit of time"), cure)),
            };
            let amount: u64 = amount
                .parse()
                .map_err(|_| ValueError::new("this is not a span of time", cure))?;
            if millis >= last {
                return Err(ValueError::new("units must go from large to small, once each", cure));
            }
            last = millis;
            let part = amount.checked_mul(millis).map(Duration::from_millis);
            total = part
                .and_then(|part| total.checked_add(part))
                .ok_or_else(|| ValueError::new("the span of time is too long", cure))?;
            rest = tail;
        }
        if text.is_empty() {
            return Err(ValueError::new("the span of time is empty", cure));
        }
        Ok(Self(total))
    }
}

fn split_at_non_digit(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn split_at_digit(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len()))
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            if millis >= size {
                write!(f, "{}{unit}", millis / size)?;
                millis %= size;
            }
        }
        Ok(())
    }
}

string_serde!(Span);

impl Cpus {
    /// From a TOML number of processors; `None` when negative, not finite or beyond 1024.
    #[must_use]
    pub fn from_f64(processors: f64) -> Option<Self> {
        if !processors.is_finite() || !(0.0..=1024.0).contains(&processors) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in 0..=1024e9")]
        let nano = (processors * 1e9).round() as u64;
        Some(Self { nano })
    }
}
