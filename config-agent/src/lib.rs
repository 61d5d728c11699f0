//! The config agent: on each boot finds the machine's document, validates it whole, commits it as a generation and puts
//! it into effect for this boot.
//!
//! The library exists for the program, its tests and fuzzing; nothing else may use it.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod activate;
mod bounded;
mod candidates;
pub mod choose;
pub mod files;
pub mod generation;
pub mod keyed;
mod network;
pub mod places;
pub mod power;
pub mod remote;
pub mod render;
mod rollback;
pub mod run;
pub mod secrets;
pub mod source;
pub mod status;
pub mod steps;
mod stores;
mod vendor;

pub use source::fuzz;
