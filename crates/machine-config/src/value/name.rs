//! The name of a container, a volume, a user or a secret.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use super::{ValueError, string_serde};

/// 1 to 128 of `a-z A-Z 0-9 _ . - :`, starting with a letter or digit: safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// Longest name accepted.
const MAX: usize = 128;

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let first = text.chars().next();
        let cure = format!("use 1 to {MAX} letters, digits, '_', '.', '-' or ':', with a letter or digit first");
        let Some(first) = first else {
            return Err(ValueError::new("the name is empty", cure));
        };
        if text.len() > MAX {
            return Err(ValueError::new(format!("the name is longer than {MAX} bytes"), cure));
        }
        if !first.is_ascii_alphanumeric() {
            return Err(ValueError::new(format!("a name cannot start with {first:?}"), cure));
        }
        match text
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || "_.-:".contains(*c)))
        {
            Some(bad) => Err(ValueError::new(format!("{bad:?} cannot be part of a name"), cure)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

string_serde!(Name);
