//! Network, names and time of the machine: one unprivileged process.
//!
//! [`network`] keeps links, addresses and routes; [`resolver`] is the machine's one name server;
//! [`time`] keeps the clock. They share nothing but a published summary of the networks.

pub mod dhcp;
pub mod explain;
pub mod names;
pub mod network;
pub mod random;
pub mod readable;
pub mod resolver;
