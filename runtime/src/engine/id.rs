//! Names of containers: the 64-digit id, the name a person gives, and how one is found by what a
//! caller wrote. Pure but for the random bytes of a new id.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The id of a container: 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// A text that is no container id.
#[derive(Debug, thiserror::Error)]
#[error("not a container id: {0:?}")]
pub struct NotAnId(String);

impl ContainerId {
    /// A fresh random id.
    ///
    /// # Errors
    /// The kernel gave no random bytes.
    pub fn random() -> std::io::Result<ContainerId> {
        let mut bytes = [0u8; 32];
        let mut filled = 0;
        while filled < bytes.len() {
            let rest = bytes.get_mut(filled..).unwrap_or_default();
            filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())?;
        }
        Ok(ContainerId(hex(&bytes)))
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits: what people see, and the default host name.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl TryFrom<String> for ContainerId {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(digit) {
            Ok(ContainerId(text))
        } else {
            Err(NotAnId(text))
        }
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> String {
        id.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `name` may name a container: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub fn is_valid_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    first
        && name.len() > 1
        && name.len() <= 255
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// What a caller's reference to a container led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Exactly one.
    One(ContainerId),
    /// None.
    Nothing,
    /// A prefix of several ids.
    Several,
}

/// Finds a container by full id, then exact name (a leading `/` is ignored), then unique prefix
/// of an id.
pub fn find<'a>(wanted: &str, all: impl Iterator<Item = (&'a ContainerId, &'a str)> + Clone) -> Found {
    let name = wanted.strip_prefix('/').unwrap_or(wanted);
    if name.is_empty() {
        return Found::Nothing;
    }
    let exact = all.clone().find(|(id, n)| id.as_str() == name || *n == name);
    if let Some((id, _)) = exact {
        return Found::One(id.clone());
    }
    let mut by_prefix = all.filter(|(id, _)| id.as_str().starts_with(name));
    match (by_prefix.next(), by_prefix.next()) {
        (None, _) => Found::Nothing,
        (Some((id, _)), None) => Found::One(id.clone()),
        (Some(_), Some(_)) => Found::Several,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(start: &str) -> ContainerId {
        ContainerId::try_from(format!("{start:0<64}")).unwrap()
    }

    #[test]
    fn a_random_id_is_an_id() {
        let id = ContainerId::random().unwrap();
        assert!(ContainerId::try_from(id.as_str().to_owned()).is_ok());
        assert_eq!(id.short().len(), 12);
    }

    #[test]
    fn refuses_what_is_no_id() {
        for text in ["", "abc", &"A".repeat(64), &"a".repeat(63), &"../".repeat(22)] {
            assert!(ContainerId::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_checked_as_docker_does() {
        for good in ["ab", "web-1", "a.b_c-d", "0x"] {
            assert!(is_valid_name(good), "{good}");
        }
        for bad in ["", "a", "-a", ".a", "a/b", "a b", "ä1", "a\n"] {
            assert!(!is_valid_name(bad), "{bad}");
        }
    }

    #[test]
    fn finds_by_id_name_and_prefix() {
        let (a, b, c) = (id("aa11"), id("aa22"), id("bb"));
        let all = [(&a, "web"), (&b, "aa11"), (&c, "db")];
        let look = |wanted: &str| find(wanted, all.iter().copied());
        assert_eq!(look(a.as_str()), Found::One(a.clone()));
        assert_eq!(look("/web"), Found::One(a.clone()));
        assert_eq!(look("aa11"), Found::One(b.clone()), "a name beats a prefix");
        assert_eq!(look("aa"), Found::Several);
        assert_eq!(look("bb"), Found::One(c.clone()));
        assert_eq!(look("cc"), Found::Nothing);
        assert_eq!(look(""), Found::Nothing);
    }
}
