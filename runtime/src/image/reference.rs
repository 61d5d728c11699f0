//! Names of images as people write them: parsing, normalisation and the short form. Pure.
//!
//! Grammar: the distribution project's reference specification;
//! `[host[:port]/]path[/path…][:tag][@digest]`. What names no host is on `docker.io`, and what has one
//! component there is below `library/`.

use std::fmt;
use std::str::FromStr;

use super::digest::{Digest, DigestError};

/// Host that names without one belong to.
pub const DEFAULT_HOST: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
const OFFICIAL: &str = "library/";
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// Why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Empty, or empty before a tag or digest.
    #[error("an image name must not be empty")]
    Empty,
    /// The repository has upper-case letters.
    #[error("repository name {name:?} must be lower case")]
    UpperCase {
        /// The name.
        name: String,
    },
    /// The repository or host does not follow the grammar.
    #[error("invalid reference format: {text:?}")]
    Malformed {
        /// The text.
        text: String,
    },
    /// The repository is longer than 255 bytes.
    #[error("repository name must not be more than {NAME_MAX} characters")]
    TooLong,
    /// 64 hex digits alone are an image id, never a name.
    #[error("{text} is an image id, not a name")]
    Id {
        /// The text.
        text: String,
    },
    /// The digest is none.
    #[error("invalid digest in {text:?}")]
    Digest {
        /// The text.
        text: String,
        /// Why.
        #[source]
        source: DigestError,
    },
}

/// A complete name: host, repository, and a tag, a digest or both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Host and port, `docker.io` by default.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Path on the host: `library/nginx`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag. `latest` when neither tag nor digest was given; with a digest it decides nothing.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Host and repository, complete: `docker.io/library/nginx`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// The name as people write it: `nginx` for `docker.io/library/nginx`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        if self.host != DEFAULT_HOST {
            return self.name();
        }
        match self.repository.strip_prefix(OFFICIAL) {
            Some(short) if !short.contains('/') => short.to_owned(),
            _ => self.repository.clone(),
        }
    }

    /// The familiar name with its tag, or with its digest when it has one: `nginx:latest`.
    #[must_use]
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    /// What a registry is asked for: the digest, else the tag.
    #[must_use]
    pub fn manifest_key(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// The same repository by digest alone.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    fn with_suffix(&self, name: String) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("{name}@{digest}"),
            (None, Some(tag)) => format!("{name}:{tag}"),
            (None, None) => name,
        }
    }
}

impl fmt::Display for Reference {
    /// The complete name with tag, or with digest when it has one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffix(self.name()))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (rest, digest) = split_digest(text)?;
        let (name, tag) = split_tag(rest);
        if name.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if digest.is_none() && tag.is_none() && Digest::from_hex(name).is_ok() {
            return Err(ReferenceError::Id { text: text.to_owned() });
        }
        let (host, path) = split_host(name);
        let malformed = || ReferenceError::Malformed { text: text.to_owned() };
        if host.is_some_and(|host| !is_host(host)) || tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(malformed());
        }
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ReferenceError::UpperCase { name: path.to_owned() });
        }
        if !path.split('/').all(is_path_component) {
            return Err(malformed());
        }
        let (host, repository) = complete(host, path);
        if host.len() + 1 + repository.len() > NAME_MAX {
            return Err(ReferenceError::TooLong);
        }
        let tag = match tag {
            None if digest.is_none() => Some(DEFAULT_TAG.to_owned()),
            tag => tag.map(str::to_owned),
        };
        Ok(Self {
            host,
            repository,
            tag,
            digest,
        })
    }
}

fn split_digest(text: &str) -> Result<(&str, Option<Digest>), ReferenceError> {
    match text.split_once('@') {
        None => Ok((text, None)),
        Some((name, digest)) => {
            digest
                .parse()
                .map(|digest| (name, Some(digest)))
                .map_err(|source| ReferenceError::Digest {
                    text: text.to_owned(),
                    source,
                })
        }
    }
}

/// A colon before a slash is a port, not a tag.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

/// The first component is a host if it has a dot, a port or upper case, or is `localhost`.
fn split_host(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (Some(first), rest)
        }
        _ => (None, name),
    }
}

fn complete(host: Option<&str>, path: &str) -> (String, String) {
    let host = match host {
        None | Some("index.docker.io") => DEFAULT_HOST,
        Some(host) => host,
    };
    let official = host == DEFAULT_HOST && !path.contains('/');
    (
        host.to_owned(),
        if official {
            format!("{OFFICIAL}{path}")
        } else {
            path.to_owned()
        },
    )
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    };
    let port_valid = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    port_valid && (is_domain(name) || is_bracketed_address(name))
}

fn is_domain(name: &str) -> bool {
    name.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

fn is_bracketed_address(name: &str) -> bool {
    name.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// Runs of `[a-z0-9]` joined by one dot, one or two underscores, or any number of hyphens.
fn is_path_component(component: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separator = |text: &str| matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    let bytes = component.as_bytes();
    let ends_valid =
        bytes.first().copied().is_some_and(alphanumeric) && bytes.last().copied().is_some_and(alphanumeric);
    ends_valid
        && component
            .split(|c: char| u8::try_from(c).is_ok_and(alphanumeric))
            .filter(|between| !between.is_empty())
            .all(separator)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn completes_what_people_write() {
        for (text, complete, familiar) in [
            ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27"),
            ("library/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            (
                "index.docker.io/library/nginx",
                "docker.io/library/nginx:latest",
                "nginx:latest",
            ),
            ("user/app", "docker.io/user/app:latest", "user/app:latest"),
            ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
            ("LOCALHOST/app", "LOCALHOST/app:latest", "LOCALHOST/app:latest"),
            (
                "localhost:5000/a/b:v1",
                "localhost:5000/a/b:v1",
                "localhost:5000/a/b:v1",
            ),
            (
                "10.0.2.2:5000/demo/nginx:1",
                "10.0.2.2:5000/demo/nginx:1",
                "10.0.2.2:5000/demo/nginx:1",
            ),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
            ("[2001:db8::1]/a", "[2001:db8::1]/a:latest", "[2001:db8::1]/a:latest"),
            (
                "ghcr.io/a/b-c/d__e.f---g",
                "ghcr.io/a/b-c/d__e.f---g:latest",
                "ghcr.io/a/b-c/d__e.f---g:latest",
            ),
        ] {
            let reference: Reference = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(reference.to_string(), complete, "{text}");
            assert_eq!(reference.familiar(), familiar, "{text}");
        }
    }

    #[test]
    fn a_digest_outranks_a_tag() {
        let reference: Reference = format!("nginx:1.27@{DIGEST}").parse().unwrap();
        assert_eq!(reference.tag(), Some("1.27"));
        assert_eq!(reference.manifest_key(), DIGEST);
        assert_eq!(reference.familiar(), format!("nginx@{DIGEST}"));
        let reference: Reference = format!("nginx@{DIGEST}").parse().unwrap();
        assert_eq!(reference.tag(), None);
    }

    #[test]
    fn refuses_what_the_grammar_does_not_have() {
        let id = "a".repeat(64);
        let long = format!("{}/x", "a".repeat(255));
        for text in [
            "",
            ":tag",
            "@",
            "a@sha256:00",
            "Nginx",
            "a//b",
            "a/",
            "/a",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "a:",
            "a:-x",
            "a b",
            "ex ample.com/a",
            "host:0/a",
            "host:99999/a",
            "host:/a",
            "[::1/a",
            "-bad.com/a",
            "a@sha512:00",
            "nginx:latest:latest",
            "é/a",
            id.as_str(),
            long.as_str(),
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn upper_case_is_named_as_the_fault() {
        let error = "example.com/Nginx".parse::<Reference>().unwrap_err();
        assert!(matches!(error, ReferenceError::UpperCase { .. }));
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text in "\\PC{0,80}") {
            let _ = text.parse::<Reference>();
        }

        #[test]
        fn printing_and_parsing_agree(text in "([a-z]{1,5}(\\.[a-z]{1,3})?(:[1-9][0-9]{0,3})?/)?[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,2}(:[A-Za-z0-9_.]{1,5})?") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference.clone());
                prop_assert_eq!(reference.familiar().parse::<Reference>().unwrap(), reference);
            }
        }
    }
}
