//! The Update Framework (specification 1.0, consistent snapshots): metadata of a repository of releases, and the client
//! that trusts it.
//!
//! `metadata` holds the types, `signing` makes files of them.

pub mod json;
pub mod metadata;

mod hashes;
mod key;
mod parse;
mod signing;
mod verify;

pub use hashes::{Check, Hashes, HashesError, Mismatch};
pub use key::{Key, KeyId, KeyValue};
pub use parse::ParseError;
pub use signing::{Draft, KeyError, SigningKey};
pub use verify::{TooFewSignatures, Unverified, Verified};
