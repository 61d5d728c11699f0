//! Which format a document is written in, told by its first bytes.
//!
//! One answer per input; a format that is recognised and not supported gets an error that says so, never a guess.

/// A format of user-data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Nothing but white space.
    Empty,
    /// The native document.
    Native,
    /// `#cloud-config`.
    CloudConfig,
    /// A script.
    Script,
    /// A list of addresses of documents.
    Include,
    /// YAML that does not say what it is.
    Headless,
    /// JSON, such as Ignition.
    Json,
    /// A MIME archive of parts.
    Mime,
    /// Compressed by gzip.
    Gzip,
}

impl Format {
    /// Recognises `bytes`. What looks like nothing else is the native format, whose parser says what is wrong.
    #[must_use]
    pub fn detect(bytes: &[u8]) -> Self {
        if bytes.starts_with(&[0x1f, 0x8b]) {
            return Self::Gzip;
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let start = bytes.iter().position(|b| !b.is_ascii_whitespace());
        let Some(body) = start.and_then(|start| bytes.get(start..)) else {
            return Self::Empty;
        };
        let begins = |prefix: &[u8]| {
            body.get(..prefix.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
        };
        match () {
            () if begins(b"---") || begins(b"## template:") || is_header(body) => Self::CloudConfig,
            () if begins(b"#include") => Self::Include,
            () if begins(b"#!") || begins(b"#cloud-boothook") || begins(b"#part-handler") => Self::Script,
            () if begins(b"{") => Self::Json,
            () if begins(b"Content-Type:") || begins(b"MIME-Version:") => Self::Mime,
            () if is_headless(body) => Self::Headless,
            () => Self::Native,
        }
    }

    /// What to tell someone who gave a format that is not supported; `None` for one that is.
    #[must_use]
    pub fn refusal(self) -> Option<(&'static str, &'static str)> {
        let native = "write a native document; it begins with `schema = 1`";
        match self {
            Self::Native | Self::CloudConfig | Self::Mime | Self::Gzip => None,
            Self::Empty => Some(("the document is empty", native)),
            Self::Script => Some((
                "this is a script, and the system has nothing that could run it",
                "declare what it would start as a `[container.NAME]`",
            )),
            Self::Include => Some((
                "this names other documents, which are not fetched",
                "give the document itself",
            )),
            Self::Headless => Some((
                "this looks like a cloud-config without its first line",
                "make `#cloud-config` the first line",
            )),
            Self::Json => Some((
                "this is JSON, such as an Ignition config, which this release does not read",
                native,
            )),
        }
    }
}

/// Whether the first line is `#cloud-config`, or was meant to be.
fn is_header(body: &[u8]) -> bool {
    let line = body.split(|b| *b == b'\n').next().unwrap_or_default();
    let letters: Vec<u8> = line
        .iter()
        .filter(|b| b.is_ascii_alphabetic())
        .map(u8::to_ascii_lowercase)
        .collect();
    let only = line.iter().all(|b| b.is_ascii_alphabetic() || b"#-_ \t\r".contains(b));
    line.starts_with(b"#") && (letters == b"cloudconfig" && only || line.starts_with(b"#cloud-config"))
}

/// Whether the first line that is no comment is a key of a cloud-config.
fn is_headless(body: &[u8]) -> bool {
    let mut lines = body.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end);
    let first = lines
        .find(|line| !line.is_empty() && !line.starts_with(b"#"))
        .unwrap_or_default();
    let colon = first.iter().position(|b| *b == b':').unwrap_or(0);
    let (word, tail) = first.split_at(colon);
    let known = std::str::from_utf8(word).is_ok_and(|word| crate::cloud::known_keys().contains(&word));
    known && (tail == b":" || tail.starts_with(b": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises() {
        for (bytes, format) in [
            (&b""[..], Format::Empty),
            (b" \r\n\t", Format::Empty),
            (b"schema = 1", Format::Native),
            (b"# a comment\nschema = 1", Format::Native),
            (b"#cloud-config\n", Format::CloudConfig),
            (b"#Cloud-Config\n", Format::CloudConfig),
            (b"\n---\n#cloud-config\n", Format::CloudConfig),
            (b"#!/bin/sh\n", Format::Script),
            (b"#include\nhttps://x\n", Format::Include),
            (b"# cloud_config\nhostname: a\n", Format::CloudConfig),
            (b"# my cloud-config\nschema = 1\n", Format::Native),
            (b"# my host\nhostname: a\n", Format::Headless),
            (b"hostname = \"a:b\"\n", Format::Native),
            (b"\xef\xbb\xbf{\"ignition\":{}}", Format::Json),
            (b"Content-Type: multipart/mixed", Format::Mime),
            (b"\x1f\x8b\x08", Format::Gzip),
        ] {
            assert_eq!(Format::detect(bytes), format, "{bytes:?}");
        }
    }
}
