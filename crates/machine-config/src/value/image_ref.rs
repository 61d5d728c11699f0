//! Reference to a container image.

use std::fmt;
use std::str::FromStr;

use super::{RegistryHost, ValueError, string_serde};

/// `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`, completed as Docker does: `nginx` is
/// `docker.io/library/nginx:latest`. `Display` writes the completed form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    registry: RegistryHost,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

const DEFAULT_REGISTRY: &str = "docker.io";
const CURE: &str = "write [REGISTRY/]NAME[:TAG][@sha256:DIGEST], for example \"nginx:1.27\"";

impl ImageRef {
    /// The registry, `docker.io` when the text named none.
    #[must_use]
    pub fn registry(&self) -> &RegistryHost {
        &self.registry
    }

    /// The repository's path, for example `library/nginx`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` when the text had neither tag nor digest.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, `sha256:` and 64 hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }
}

impl FromStr for ImageRef {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.is_empty() {
            return Err(ValueError::new("the image reference is empty", CURE));
        }
        if let Some((_, rest)) = text.split_once("://") {
            let problem = "an image reference has no scheme";
            return Err(ValueError::new(problem, format!("write {rest:?}")));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(check_digest(digest)?)),
            None => (text, None),
        };
        let (registry, path) = split_registry(rest);
        let (path, tag) = match path.split_once(':') {
            Some((path, tag)) => (path, Some(check_tag(tag)?)),
            None => (path, None),
        };
        check_repository(path)?;
        let registry: RegistryHost = registry.unwrap_or(DEFAULT_REGISTRY).parse()?;
        let official = registry.as_str() == DEFAULT_REGISTRY && !path.contains('/');
        let repository = if official {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        let tag = tag.or_else(|| digest.is_none().then_some("latest"));
        Ok(Self {
            registry,
            repository,
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }
}

/// The part before the first `/` is a registry when it could not be a path component.
fn split_registry(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (Some(first), rest)
        }
        _ => (None, text),
    }
}

fn check_digest(digest: &str) -> Result<&str, ValueError> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    let good = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if good {
        return Ok(digest);
    }
    let problem = format!("{digest:?} is not a digest");
    Err(ValueError::new(
        problem,
        "write sha256: and 64 lower-case hexadecimal digits",
    ))
}

fn check_tag(tag: &str) -> Result<&str, ValueError> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let first = tag.bytes().next().is_some_and(word);
    if first && tag.len() <= 128 && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-') {
        return Ok(tag);
    }
    let cure = "use letters, digits, '_', '.' and '-', at most 128, with a word character first";
    Err(ValueError::new(format!("{tag:?} is not a tag"), cure))
}

fn check_repository(path: &str) -> Result<(), ValueError> {
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        let cure = format!("write {:?}", path.to_ascii_lowercase());
        return Err(ValueError::new("the repository is written in lower case", cure));
    }
    if path.len() > 255 || !path.split('/').all(is_component) {
        return Err(ValueError::new(format!("{path:?} is not a repository"), CURE));
    }
    Ok(())
}

/// Runs of `a-z0-9` joined by `.`, `_`, `__` or any number of `-` (distribution reference grammar).
fn is_component(text: &str) -> bool {
    let alnum = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = text.starts_with(alnum) && text.ends_with(alnum);
    ends && text
        .split(alnum)
        .filter(|gap| !gap.is_empty())
        .all(|gap| matches!(gap, "." | "_" | "__") || gap.bytes().all(|b| b == b'-'))
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

string_serde!(ImageRef);
