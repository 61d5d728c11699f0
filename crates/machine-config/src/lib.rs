//! What an operator may ask of a machine: the native document and its equals in other formats, their rules and their
//! one typed form.
//!
//! Pure: bytes in, a [`MachineConfig`] or diagnostics out. It must never open a file, a socket or
//! a device, except that [`SecretRef::read`] reads the one file that holds its value.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod check;
pub mod cloud;
pub mod diagnostic;
mod format;
pub mod fuzz;
pub mod layers;
mod meta_data;
mod mime;
pub mod model;
pub mod network_config;
pub mod plan;
mod redact;
pub mod render;
pub mod schema;
pub mod secret;
mod syntax;
mod text;
pub mod value;
mod yaml;

pub use check::{Accepted, Fate, MAX_DOCUMENT, Verdict, validate, validate_as};
pub use diagnostic::{Code, Diagnostic, Report, Severity};
pub use format::Format;
pub use meta_data::MetaData;

pub use model::{
    AfterBoot, ApplyMode, Capabilities, Container, Encoding, EnvValue, File, Group, Limits, MachineConfig, Mount,
    MountKind, NamespaceMode, Namespaces, Network, NetworkMode, Policy, Power, Probe, ProbeTarget, Reapply, RebootMode,
    Registry, RestartPolicy, Ssh, System, Time, Trust, Update, User, Volume,
};
pub use secret::{Secret, SecretRef, SecretValues};
pub use value::{
    Bytes, CaBundle, Capability, Cpus, FilePath, Hostname, ImageRef, Mode, Name, Protocol, PublishedPort, RegistryHost,
    Server, Span, SshKey, Timezone,
};

/// Version of the native document and of `machine.json` that this crate reads and writes.
pub const SCHEMA: u32 = 1;

/// Where the effective configuration of this boot lies (JSON of [`MachineConfig`]).
pub const MACHINE_JSON: &str = "/run/keelson/config/machine.json";

/// Where the values of secrets lie at run time, one file (0600) per secret.
pub const SECRETS_DIR: &str = "/run/keelson/secrets";
