//! Keelson's OCI runtime: makes a container of a bundle, starts it, runs more processes in it, signals it, removes it.
//!
//! A library for single-threaded programs (the shim and `keelson-oci`): processes are made by clone3 and go on in Rust
//! code, so a caller with threads is refused. It never daemonises, changes nothing of its caller (directory, umask,
//! signals, cgroup), and touches nothing outside the bundle, its state directory and the container's cgroup.

pub mod cgroup;
pub mod error;
pub mod seccomp;
pub mod spec;

pub use error::{Error, Kind, Result};
