//! The clock: never before a floor, right as soon as a time server answers, and never a reason to wait.
//!
//! [`packet`], [`choose`], [`discipline`] and [`floor`] are pure; [`clock`] sets and slews; [`keeper`]
//! asks the servers round after round.

pub mod choose;
pub mod clock;
pub mod discipline;
pub mod floor;
pub mod keeper;
pub mod packet;
mod query;
pub mod saved;
