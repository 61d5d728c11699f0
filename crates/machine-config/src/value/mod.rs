//! Values with a grammar of their own. Each parses from the text a document gives, and each writes
//! that text back canonically (`Display`, and as a string in JSON).
//!
//! A `FromStr` error is one sentence for the person who wrote the value; it names the cure.

mod capability;
mod file;
mod host;
mod image_ref;
mod name;
mod network;
mod pem;
mod port;
mod probe;
mod quantity;
mod release;
mod ssh_key;
mod timezone;

pub use capability::Capability;
pub use file::{FilePath, Mode, TREES};
pub(crate) use host::check_domain;
pub use host::{Hostname, RegistryHost, Server};
pub use image_ref::ImageRef;
pub use name::Name;
pub use network::{Destination, InterfaceAddress, LINK_NAME_MAX, LinkPattern, Mac, network};
pub use pem::CaBundle;
pub use port::{Protocol, PublishedPort};
pub use probe::{ProbeAddress, ProbeUrl};
pub use quantity::{Bytes, Cpus, Span};
pub use release::{ReleaseVersion, RepositoryUrl};
pub use ssh_key::SshKey;
pub use timezone::Timezone;

/// Why a value was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct ValueError {
    /// What is wrong, lower case, without a full stop.
    pub problem: String,
    /// What to write instead, empty when there is nothing useful to say.
    pub cure: String,
    /// Byte range within the value that is at fault, when it is not all of it.
    pub at: Option<std::ops::Range<usize>>,
}

impl ValueError {
    /// A refusal of the whole value.
    pub(crate) fn new(problem: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            cure: cure.into(),
            at: None,
        }
    }
}

/// An absolute path without `.` and `..`, with single slashes.
pub(crate) fn absolute_path(text: &str) -> Result<String, ValueError> {
    if !text.starts_with('/') {
        return Err(ValueError::new(
            format!("{text:?} is not an absolute path"),
            "start it with '/'",
        ));
    }
    if text.len() > 4095 || text.contains('\0') {
        return Err(ValueError::new(
            "the path is too long or holds a NUL character",
            "shorten it to 4095 bytes of text",
        ));
    }
    if text.split('/').any(|part| part == "." || part == "..") {
        return Err(ValueError::new(
            "the path holds '.' or '..'",
            "write the path without them",
        ));
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    Ok(format!("/{}", parts.join("/")))
}

/// Serialises through `Display` and deserialises through `FromStr`.
macro_rules! string_serde {
    ($($name:ty),+) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
pub(crate) use string_serde;
