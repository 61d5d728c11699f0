//! Versions of releases: what may be one, and which of two is newer.
//!
//! Source of the order: UAPI.10 "Version Format Specification", which the boot loader sorts its entries by too.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use keelson_image_layout::release::VERSION_BYTES;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// A version that fits wherever it is written: file names, os-release, the slot-state record.
///
/// Ordered as the boot loader orders them; two that differ in text alone (`1.0`, `1.00`) are not equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Version(String);

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{found:?} is no version: 1 to {VERSION_BYTES} letters, digits and .+~-, beginning with a digit")]
pub struct VersionError {
    /// As given.
    pub found: String,
}

impl Version {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Version, VersionError> {
        let fits = (1..=VERSION_BYTES).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_digit())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".+~-".contains(&byte));
        if fits {
            Ok(Version(text.to_owned()))
        } else {
            Err(VersionError { found: text.to_owned() })
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        compare(self.0.as_bytes(), other.0.as_bytes()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn compare(mut left: &[u8], mut right: &[u8]) -> Ordering {
    loop {
        left = skip_separators(left);
        right = skip_separators(right);
        // What `~` begins is older than nothing at all, what the others begin is older than anything else.
        if let Some(order) = mark(b'~', &mut left, &mut right) {
            return order;
        }
        if left.is_empty() || right.is_empty() {
            return left.len().cmp(&right.len());
        }
        for byte in [b'-', b'^', b'.'] {
            if let Some(order) = mark(byte, &mut left, &mut right) {
                return order;
            }
        }
        let order = if starts_with_digit(left) || starts_with_digit(right) {
            number(&mut left).cmp(&number(&mut right))
        } else {
            take_while(&mut left, u8::is_ascii_alphabetic).cmp(take_while(&mut right, u8::is_ascii_alphabetic))
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn skip_separators(text: &[u8]) -> &[u8] {
    let mut rest = text;
    take_while(&mut rest, |byte| {
        !byte.is_ascii_alphanumeric() && !b"~-^.".contains(byte)
    });
    rest
}

/// Decides if one side alone begins with `byte`, which makes it the older one; takes it from both if both do.
fn mark(byte: u8, left: &mut &[u8], right: &mut &[u8]) -> Option<Ordering> {
    match (left.strip_prefix(&[byte]), right.strip_prefix(&[byte])) {
        (Some(_), None) => return Some(Ordering::Less),
        (None, Some(_)) => return Some(Ordering::Greater),
        (Some(rest), Some(other)) => (*left, *right) = (rest, other),
        (None, None) => {}
    }
    None
}

fn starts_with_digit(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_digit)
}

/// A number at the beginning in comparable form: whether there is one, its digits without zeros in front.
fn number<'a>(text: &mut &'a [u8]) -> (bool, usize, &'a [u8]) {
    let there = starts_with_digit(text);
    take_while(text, |byte| *byte == b'0');
    let digits = take_while(text, u8::is_ascii_digit);
    (there, digits.len(), digits)
}

fn take_while<'a>(text: &mut &'a [u8], belongs: impl Fn(&u8) -> bool) -> &'a [u8] {
    let length = text.iter().take_while(|byte| belongs(byte)).count();
    let (taken, rest) = text.split_at_checked(length).unwrap_or((text, &[]));
    *text = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_must_fit_everywhere_they_are_written() {
        for good in ["0.1.0", "1", "2026.11+git5~rc1-2", &"1".repeat(32)] {
            assert!(good.parse::<Version>().is_ok(), "{good}");
        }
        for bad in ["", "v1", "1 2", "1\n2", "1/2", "1_2", &"1".repeat(33), "1é"] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }

    #[test]
    fn newer_is_what_the_specification_says() {
        let rising = [
            "0~",
            "0",
            "0-1",
            "0.1.0~rc1",
            "0.1.0~rc2",
            "0.1.0",
            "0.1.0-1",
            "0.1.0.1",
            "0.1.1",
            "0.2.0",
            "0.10.0",
            "1~alpha",
            "1",
            "1.2",
            "1.12",
            "1a",
            "1b",
            "2",
            "10",
        ];
        for (at, older) in rising.iter().enumerate() {
            for newer in &rising[at + 1..] {
                assert!(version(older) < version(newer), "{older} {newer}");
                assert!(version(newer) > version(older), "{older} {newer}");
            }
            assert_eq!(version(older).cmp(&version(older)), Ordering::Equal);
        }
    }

    proptest::proptest! {
        #[test]
        fn the_order_is_total(texts in proptest::array::uniform3("[0-9][0-9a-z.~+-]{0,8}")) {
            let [a, b, c] = texts.map(|text| version(&text));
            proptest::prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            if a <= b && b <= c {
                proptest::prop_assert!(a <= c);
            }
        }
    }
}
