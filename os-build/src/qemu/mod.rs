//! A QEMU machine around a Keelson disk: arguments, console, monitor, process. `os-build boot` and the whole-system
//! tests run the same machines through it.
//!
//! It decides nothing about the guest and never changes a disk.

pub mod accel;
pub mod arguments;
pub mod console;
pub mod machine;
pub mod monitor;
mod terminal;
pub mod tpm;

pub use accel::Accel;
pub use arguments::{Bus, Disk, Forward, MachineSpec, Protocol, Service};
pub use console::Console;
pub use machine::{Machine, MachineError};
pub use tpm::Tpm;
