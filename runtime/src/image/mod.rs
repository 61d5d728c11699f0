//! Images: from a name to a root file system. Names, registry client, ingest, store, mounts.
//!
//! ```text
//! reference ─► registry (manifest, config, blobs: every digest checked while streaming)
//!                 │
//!                 ▼
//!              ingest: tar layers ─► staging/PULL/ ─► objects/ + layers/      (file objects by digest)
//!                 │
//!                 ▼
//!              merge: layers ─► one tree ─► images/HEX.erofs + images/HEX.json ─► tags.json
//!                 │
//!                 ▼
//!              mount: erofs + objects ─► overlay, shared ─► overlay with upper, one per container
//! ```
//!
//! Knows nothing of containers but an id and a directory for the upper layer. Never runs or trusts
//! what it unpacks; whatever is not committed by a record does not exist.

mod digest;
#[cfg(test)]
mod fixture;
pub mod fuzz;
mod ingest;
mod manifest;
mod merge;
#[cfg(test)]
mod mock;
mod mount;
mod progress;
mod pull;
mod record;
mod reference;
mod registry;
mod room;
mod store;

pub use digest::{Digest, DigestError, ImageId};
pub use manifest::ManifestError;
pub use mount::{ContainerLayer, MountError, Mounts};
pub use progress::{LayerProgress, Progress, ProgressSink};
pub use pull::{PullError, PullOptions, Pulled, pull};
pub use record::ImageRecord;
pub use reference::{DEFAULT_HOST, Reference, ReferenceError};
pub use registry::{Credentials, OTHERS, Registries, RegistryError, RegistrySettings, RetryPolicy};
pub use room::NoRoom;
pub use store::{Removed, Store, StoreError};

#[cfg(test)]
mod registry_test;
