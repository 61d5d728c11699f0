//! Where releases come from and which: the address of a repository, the version of a release.

use std::fmt;
use std::str::FromStr;

use super::{Server, ValueError, string_serde};

/// `http://` or `https://`, a name or an address, a port, a path; without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryUrl(String);

/// 1 to 32 letters, digits and `.+~-`, beginning with a digit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseVersion(String);

const URL_CURE: &str = "write \"https://HOST[:PORT][/PATH]\", the folder that holds `metadata` and `targets`";
const VERSION_CURE: &str = "write it as the release says it, for example \"1.2.0\"";
const VERSION_BYTES: usize = 32;

impl RepositoryUrl {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ReleaseVersion {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryUrl {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refused = |problem: &str| Err(ValueError::new(format!("{text:?} {problem}"), URL_CURE));
        let Some((scheme @ ("http" | "https"), rest)) = text.split_once("://") else {
            return refused("is no address of a repository");
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let plain = |c: char| c.is_ascii_graphic() && !"#?\"<>\\^`{|}".contains(c);
        if text.len() > 1024 || !path.chars().all(plain) || path.split('/').any(|part| part == "..") {
            return refused("has a path that cannot be asked for");
        }
        if !is_authority(authority) {
            return refused("names no host");
        }
        Ok(RepositoryUrl(format!(
            "{scheme}://{authority}{}",
            path.trim_end_matches('/')
        )))
    }
}

/// `HOST[:PORT]`, an IPv6 address in brackets.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, port)) => (address, Some(port.strip_prefix(':').unwrap_or_default())),
        None => text
            .split_once(':')
            .map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let digits = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    host.parse::<Server>().is_ok() && port.is_none_or(digits)
}

impl FromStr for ReleaseVersion {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let good = |c: char| c.is_ascii_alphanumeric() || ".+~-".contains(c);
        let fits = (1..=VERSION_BYTES).contains(&text.len());
        if fits && text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(good) {
            return Ok(ReleaseVersion(text.to_owned()));
        }
        Err(ValueError::new(format!("{text:?} is no version"), VERSION_CURE))
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ReleaseVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

string_serde!(RepositoryUrl, ReleaseVersion);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_only_their_last_slash() {
        for (text, expected) in [
            (
                "https://updates.example.org/keelson/",
                "https://updates.example.org/keelson",
            ),
            ("http://10.0.2.2:8000", "http://10.0.2.2:8000"),
            ("https://[2001:db8::1]:8443/a", "https://[2001:db8::1]:8443/a"),
            ("https://h/", "https://h"),
        ] {
            assert_eq!(text.parse::<RepositoryUrl>().unwrap().as_str(), expected);
        }
        for text in [
            "",
            "h",
            "ftp://h",
            "https://",
            "https:///a",
            "https://h:0",
            "https://h:x/a",
            "https://u:p@h/a",
            "https://h/a?b",
            "https://h/../a",
            "https://h/a b",
            "https://[::1/a",
        ] {
            assert!(text.parse::<RepositoryUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn versions_are_those_of_releases() {
        assert_eq!("1.2.0~rc1".parse::<ReleaseVersion>().unwrap().as_str(), "1.2.0~rc1");
        for text in ["", "v1", "1 2", &"1".repeat(33)] {
            assert!(text.parse::<ReleaseVersion>().is_err(), "{text}");
        }
    }
}
