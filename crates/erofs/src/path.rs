//! Paths of a tree: bytes that a directory can hold, ordered component by component.

use std::cmp::Ordering;
use std::fmt;

use crate::format::NAME_MAX;
use crate::tree::TreeError;

/// A path below the root, without leading slash; the root itself is empty. Ordered component by
/// component, so that a directory is followed by everything below it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TreePath(Vec<u8>);

impl TreePath {
    /// The root.
    #[must_use]
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// Parses `a/b` or `/a/b`; `/` and the empty path are the root.
    ///
    /// # Errors
    /// [`TreeError::BadPath`] when a component cannot be a directory entry.
    pub fn parse(path: impl AsRef<[u8]>) -> Result<Self, TreeError> {
        let path = path.as_ref();
        let relative = path.strip_prefix(b"/").unwrap_or(path);
        let valid = relative.is_empty() || relative.split(|b| *b == b'/').all(is_entry_name);
        if valid {
            Ok(Self(relative.to_vec()))
        } else {
            Err(TreeError::BadPath {
                path: String::from_utf8_lossy(path).into_owned(),
            })
        }
    }

    /// The directory this path lies in; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        Some(Self(self.0.get(..end).unwrap_or_default().to_vec()))
    }

    /// The last component; empty for the root.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|b| *b == b'/').next().unwrap_or_default()
    }

    /// This path with one more component.
    ///
    /// # Errors
    /// [`TreeError::BadPath`] when `name` cannot be a directory entry.
    pub fn join(&self, name: &[u8]) -> Result<Self, TreeError> {
        let mut joined = self.0.clone();
        if !self.is_root() {
            joined.push(b'/');
        }
        joined.extend_from_slice(name);
        Self::parse(joined)
    }

    /// Whether this is the root.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `self` is `ancestor` or lies below it.
    #[must_use]
    pub fn starts_with(&self, ancestor: &Self) -> bool {
        ancestor.is_root()
            || self
                .0
                .strip_prefix(ancestor.0.as_slice())
                .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
    }

    /// The bytes, without leading slash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        // A slash must sort below every other byte: then the order is that of the components.
        let key = |b: &u8| if *b == b'/' { 0 } else { u16::from(*b) + 1 };
        self.0.iter().map(key).cmp(other.0.iter().map(key))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

fn is_entry_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && name.len() <= NAME_MAX && !name.iter().any(|b| matches!(b, 0 | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_no_directory_can_hold() {
        let long = "x".repeat(256);
        for path in ["a//b", "a/./b", "../a", "a/", "a\0b", long.as_str()] {
            assert!(TreePath::parse(path).is_err(), "{path:?}");
        }
        assert_eq!(TreePath::parse("/").unwrap(), TreePath::root());
    }
}
