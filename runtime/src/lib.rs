//! The container engine: Docker's API in front, one owner of state in the middle, image store,
//! network and shims behind. The program in `main.rs` only parses arguments and starts it.
//!
//! ```text
//! api ──Action──► engine ──► launch: image, volume, spec, net ──► shim (one process per container)
//!                   ▲                                                │
//! declared ─Action──┘ ◄──────────────── what happened ───────────────┘
//! ```

// A container's `HostConfig` has more members than the default lets the JSON macro count.
#![recursion_limit = "256"]

pub mod api;
pub mod declared;
pub mod engine;
pub mod fuzz;
pub mod image;
pub mod launch;
pub mod logs;
pub mod net;
pub mod options;
pub mod procfs;
pub mod registries;
pub mod shim;
mod space;
pub mod spec;
pub mod start;
pub mod volume;
