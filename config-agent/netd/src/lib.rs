//! Network, names and time of the machine: one unprivileged process.
//!
//! [`network`] keeps links, addresses and routes, with a [`dhcp`] client per link; [`resolver`] is the
//! machine's one name server; [`time`] keeps the clock. They share nothing but a published summary of
//! the networks. [`run`] wires them together.

pub mod config;
pub mod dhcp;
pub mod explain;
pub mod fuzz;
pub mod names;
pub mod network;
pub mod random;
pub mod resolver;
pub mod run;
mod status;
pub mod time;
