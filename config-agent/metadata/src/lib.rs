//! Asks a cloud's metadata service what this machine should be, and hands the answer on. It runs only on machines
//! whose firmware says that there is such a service, as a user of its own without privileges: what it reads comes from
//! the network, and what it says is bytes to the program that applies configurations.
//!
//! The library exists for the program, its tests and fuzzing; nothing else may use it.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod ask;
pub mod client;
pub mod ec2;
pub mod failure;
pub mod fuzz;
