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
            () if begins(b"#cloud-config") || begins(b"---") || begins(b"## template:") => Self::CloudConfig,
            () if begins(b"#!") || begins(b"#include") || begins(b"#cloud-boothook") => Self::Script,
            () if begins(b"{") => Self::Json,
            () if begins(b"Content-Type:") || begins(b"MIME-Version:") => Self::Mime,
            () => Self::Native,
        }
    }

    /// What to tell someone who gave a format that is not supported; `None` for the native one.
    #[must_use]
    pub fn refusal(self) -> Option<(&'static str, &'static str)> {
        let native = "write a native document; it begins with `schema = 1`";
        match self {
            Self::Native => None,
            Self::Empty => Some(("the document is empty", native)),
            Self::CloudConfig => Some(("this is a cloud-config, which this release does not read", native)),
            Self::Script => Some((
                "this is a script, and the system has nothing that could run it",
                "declare what it would start as a `[container.NAME]`",
            )),
            Self::Json => Some((
                "this is JSON, such as an Ignition config, which this release does not read",
                native,
            )),
            Self::Mime => Some(("this is a MIME archive, which this release does not read", native)),
            Self::Gzip => Some((
                "this is compressed, which this release does not read",
                "give it uncompressed",
            )),
        }
    }
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
            (b"\xef\xbb\xbf{\"ignition\":{}}", Format::Json),
            (b"Content-Type: multipart/mixed", Format::Mime),
            (b"\x1f\x8b\x08", Format::Gzip),
        ] {
            assert_eq!(Format::detect(bytes), format, "{bytes:?}");
        }
    }
}
