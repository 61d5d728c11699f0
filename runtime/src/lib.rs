//! The container engine: Docker's API in front, one owner of state in the middle, image store,
//! network and shims behind. The program in `main.rs` only parses arguments and starts it.
//!
//! ```text
//! api ──Action──► engine ──► image, volume, spec, net ──► shim (one process per container)
//!                   ▲                                        │
//! declared ─Action──┘ ◄──────────── what happened ───────────┘
//! ```

pub mod engine;
pub mod image;
pub mod launch;
pub mod net;
pub mod shim;
pub mod spec;
pub mod volume;
