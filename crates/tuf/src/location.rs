//! Where things are in a repository: names of metadata files and of targets, as consistent snapshots have them.

use std::fmt;

use crate::metadata::{TargetFile, Version};

/// A file of a repository, relative to the address of its kind. Everything but letters, digits and `-._~` is
/// percent-encoded, so a name can be appended to a URL, and is a plain file name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// Relative to the repository's `metadata/`.
    Metadata(String),
    /// Relative to its `targets/`.
    Target(String),
}

impl Location {
    /// The path, with `/` between folders.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Location::Metadata(path) | Location::Target(path) => path,
        }
    }

    /// The metadata of a role: `7.snapshot.json`, or `timestamp.json`, the one file without a version.
    #[must_use]
    pub fn metadata(role: &str, version: Option<Version>) -> Location {
        let role = percent_encoded(role);
        Location::Metadata(match version {
            Some(version) => format!("{version}.{role}.json"),
            None => format!("{role}.json"),
        })
    }

    /// A target: its hash stands before the last component of its name. Nothing if the name is no plain relative path.
    #[must_use]
    pub fn target(name: &str, file: &TargetFile) -> Option<Location> {
        let plain = |part: &str| !matches!(part, "" | "." | "..");
        if !name.split('/').all(plain) {
            return None;
        }
        let mut parts: Vec<_> = name.split('/').map(percent_encoded).collect();
        let last = parts.pop()?;
        parts.push(format!("{}.{last}", file.hashes.for_name()));
        Some(Location::Target(parts.join("/")))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// RFC 3986: everything but the unreserved characters as `%` and two digits.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_hashes_stand_before_the_last_component() {
        let version = Version::new(7);
        assert_eq!(Location::metadata("snapshot", version).path(), "7.snapshot.json");
        assert_eq!(Location::metadata("timestamp", None).path(), "timestamp.json");
        assert_eq!(Location::metadata("../é?", version).path(), "7...%2F%C3%A9%3F.json");
        let file = TargetFile::describe(b"x");
        let hash = file.hashes.for_name().to_owned();
        let path = |name: &str| Location::target(name, &file).map(|location| location.path().to_owned());
        assert_eq!(path("a/b c/d.img"), Some(format!("a/b%20c/{hash}.d.img")));
        assert_eq!(path("d"), Some(format!("{hash}.d")));
        for bad in ["", "/a", "a//b", "a/../b", "a/", "."] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }
}
