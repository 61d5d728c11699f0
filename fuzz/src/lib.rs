//! Every parser of outside bytes, as a plain function over bytes: errors are fine, a panic is a bug.
//!
//! `tests/seeds.rs` runs each over its seeds and many mutations of them in the normal profile; `./just fuzz` runs them
//! under libFuzzer.

mod mutate;
mod targets;

pub use mutate::{Random, mutate};
pub use targets::{TARGETS, Target, find};
