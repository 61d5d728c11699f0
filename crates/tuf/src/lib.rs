//! The Update Framework (specification 1.0, consistent snapshots): metadata of a repository of releases, and the client
//! that trusts it.
//!
//! `metadata` holds the types, `signing` makes files of them. `trusted` decides what may be believed, `client` brings
//! it about: `Client::refresh` for a view of the repository, `Client::find` for a target in it, `Client::download` for
//! its bytes. Who fetches and who stores is the caller's choice: `Fetch` (`Folder` for a volume),
//! `Store`.

pub mod fuzz;
pub mod json;
pub mod metadata;
pub mod trusted;

mod client;
mod clock;
mod error;
mod fetch;
mod folder;
mod hashes;
mod key;
mod limits;
mod location;
mod parse;
mod search;
mod signing;
mod store;
mod verify;

pub use client::Client;
pub use clock::Clock;
pub use error::{Error, FetchError, Problem, Refused, StoreError};
pub use fetch::{Body, Fetch};
pub use folder::Folder;
pub use hashes::{Check, Hashes, HashesError, Mismatch};
pub use key::{Key, KeyId, KeyValue};
pub use limits::Limits;
pub use location::Location;
pub use parse::ParseError;
pub use search::Target;
pub use signing::{Draft, KeyError, SigningKey};
pub use store::{FileStore, Store};
pub use trusted::TrustedSet;
pub use verify::{TooFewSignatures, Unverified, Verified};
