//! Patterns over names of targets: `*` for any characters, `?` for one, neither of them for a `/`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A pattern over whole names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPattern(String);

/// A pattern that other readers could understand differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern {pattern:?} holds '[': sets of characters are not understood; name them in several patterns")]
pub struct PatternError {
    /// As found.
    pub pattern: String,
}

impl PathPattern {
    /// Whether the whole name matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (mut patterns, mut parts) = (self.0.split('/'), name.split('/'));
        loop {
            match (patterns.next(), parts.next()) {
                (None, None) => return true,
                (Some(pattern), Some(part)) if matches_part(pattern, part) => {}
                _ => return false,
            }
        }
    }
}

/// Without recursion, so that no pattern takes longer than pattern × name.
fn matches_part(pattern: &str, part: &str) -> bool {
    let (pattern, part): (Vec<char>, Vec<char>) = (pattern.chars().collect(), part.chars().collect());
    let (mut p, mut n) = (0, 0);
    // The last `*`, and how far it reaches for now.
    let mut star: Option<(usize, usize)> = None;
    while n < part.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(wanted) if *wanted == '?' || Some(wanted) == part.get(n) => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, reach)) = star else { return false };
                star = Some((at, reach + 1));
                p = at + 1;
                n = reach + 1;
            }
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == '*')
}

impl TryFrom<String> for PathPattern {
    type Error = PatternError;

    fn try_from(pattern: String) -> Result<PathPattern, PatternError> {
        if pattern.contains('[') {
            return Err(PatternError { pattern });
        }
        Ok(PathPattern(pattern))
    }
}

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(pattern: &str) -> Result<PathPattern, PatternError> {
        PathPattern::try_from(pattern.to_owned())
    }
}

impl From<PathPattern> for String {
    fn from(pattern: PathPattern) -> String {
        pattern.0
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stop_at_slashes() {
        for (pattern, name, expected) in [
            ("*", "a", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("a/*", "a/", true),
            ("a/*", "a", false),
            ("foo-?.tgz", "foo-1.tgz", true),
            ("foo-?.tgz", "foo-12.tgz", false),
            ("a?b", "a/b", false),
            ("*.MD", "x.md", false),
            ("r*l*e/*.zip", "rolle/x.y.zip", true),
            ("r*l*e/*.zip", "rolls/x.zip", false),
            ("é?", "éü", true),
            ("", "", true),
            ("", "a", false),
            ("**", "", true),
            ("rollout/stable.json", "rollout/stable.json", true),
            ("rollout/stable.json", "rollout/stable_json", false),
        ] {
            let pattern: PathPattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(name), expected, "{pattern} {name}");
        }
        assert!("v[12]".parse::<PathPattern>().is_err());
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern: PathPattern = format!("{}b", "*a".repeat(200)).parse().unwrap();
        assert!(!pattern.matches(&"a".repeat(5000)));
    }
}
