//! The client against repositories made in memory and a store on disk: what it accepts, what it refuses, what it asks.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod clock;
mod delegations;
mod folder;
mod interruptions;
mod repository;
mod rollback;
mod roots;
mod target_files;
