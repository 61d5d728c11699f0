//! Links, addresses and routes of the machine's own networks.
//!
//! [`manager`] owns the netlink sockets and one DHCP client per link; everything it decides is pure and
//! stands beside it: [`assign`] says which device is which link of the document, [`made`] which VLANs and
//! bonds to make, [`plan`] what to change on a link. It never touches links of the container engine.

mod apply;
pub mod assign;
pub mod choose;
mod clients;
mod ipv6;
pub mod made;
pub mod manager;
pub mod plan;
mod reconcile;
pub mod router;
pub mod state;
