//! Values with a grammar of their own. Each parses from the text a document gives, and each writes
//! that text back canonically (`Display`, and as a string in JSON).
//!
//! A `FromStr` error is one sentence for the person who wrote the value; it names the cure.

mod capability;
mod host;
mod image_ref;
mod name;
mod network;
mod pem;
mod port;
mod quantity;
mod ssh_key;

pub use capability::Capability;
pub(crate) use host::check_domain;
pub use host::{Hostname, RegistryHost, Server};
pub use image_ref::ImageRef;
pub use name::Name;
pub use network::{Destination, InterfaceAddress, LINK_NAME_MAX, LinkPattern, Mac, network};
pub use pem::CaBundle;
pub use port::{Protocol, PublishedPort};
pub use quantity::{Bytes, Cpus, Span};
pub use ssh_key::SshKey;

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
