//! A Linux capability by name.

use std::fmt;
use std::str::FromStr;

use keelson_sys::capability;

use super::{ValueError, string_serde};

/// A capability of capabilities(7), or all of them. Text: `NET_ADMIN`, `CAP_NET_ADMIN` or `ALL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Every capability the kernel knows.
    All,
    /// One, by its number (`CAP_CHOWN` is 0).
    One(u8),
}

impl FromStr for Capability {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "ALL" {
            return Ok(Self::All);
        }
        let bare = text.strip_prefix("CAP_").unwrap_or(text);
        if let Some(number) = capability::number(bare) {
            return Ok(Self::One(number));
        }
        let upper = bare.to_ascii_uppercase();
        let near = capability::bare_names().min_by_key(|name| strsim::levenshtein(name, &upper));
        let near = near.filter(|name| strsim::levenshtein(name, &upper) <= 3);
        let cure = match near {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => "use a name of capabilities(7), for example \"NET_ADMIN\"".to_owned(),
        };
        Err(ValueError::new(format!("{text:?} is not a capability"), cure))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("ALL"),
            Self::One(number) => match capability::NAMES.get(usize::from(*number)) {
                Some(name) => f.write_str(name),
                None => write!(f, "CAP_{number}"),
            },
        }
    }
}

string_serde!(Capability);
