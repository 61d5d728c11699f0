//! Registries over HTTP: the distribution specification's pull part, as a client.

mod blob;
mod challenge;
mod client;
mod error;
mod retry;
mod settings;

pub use blob::blob_path;
pub use challenge::parse_challenge;
pub use client::{Get, RegistryClient};
pub use error::RegistryError;
pub use retry::RetryPolicy;
pub use settings::{Credentials, Endpoint, OTHERS, Registries, RegistrySettings, plan_endpoints};
