//! Keelson's OCI runtime: makes a container of a bundle, starts it, runs more processes in it, signals it, removes it.
//!
//! A library for single-threaded programs (the shim and `keelson-oci`): processes are made by clone3 and go on in Rust
//! code, so a caller with threads is refused. It never daemonises, changes nothing of its caller (directory, umask,
//! signals, cgroup), and touches nothing outside the bundle, its state directory and the container's cgroup.

pub mod cgroup;
pub mod container;
pub mod create;
pub mod error;
pub mod exec;
pub mod fuzz;
mod hooks;
mod init;
mod prepare;
pub mod seccomp;
mod spawn;
pub mod spec;
pub mod state;
mod userns;

pub use container::{Container, clear, list};
pub use create::{CreateOptions, Created, create};
pub use error::{Error, Kind, Result};
pub use exec::{ExecOptions, Executed, exec};
pub use init::finish::Stdio;
pub use state::{State, Status};
