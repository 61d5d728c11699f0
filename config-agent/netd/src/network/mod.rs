//! Links, addresses and routes of the machine's own networks.
//!
//! [`manager`] owns the netlink sockets and one DHCP client per link; everything it decides is pure
//! and stands beside it. It never touches links of the container engine.

mod apply;
pub mod choose;
mod ipv6;
pub mod manager;
pub mod plan;
pub mod router;
pub mod state;
