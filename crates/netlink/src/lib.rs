//! Netlink, spoken synchronously and with types, over one raw socket.
//!
//! Two families are known: rtnetlink (links, addresses, routes, neighbours) through
//! [`RouteSocket`], and nftables through [`NftSocket`]. Both send whole messages, wait for the
//! kernel's answer and turn a refusal into an [`Error`] that names the message at fault.
//!
//! A socket belongs to the network namespace of the thread that opened it, and stays there. To work
//! inside another namespace, open it with [`RouteSocket::open_in`] and use it from outside, or run
//! a closure in there with [`netns::run_in`].
//!
//! This crate must never keep policy (which links, which rules), touch files or sysctls, or start a
//! thread that outlives the call.

pub mod addr;
mod bond;
mod error;
pub mod events;
pub mod fuzz;
pub mod link;
pub mod message;
pub mod neigh;
pub mod netns;
pub mod nft;
pub mod route;
mod route_socket;
pub mod socket;
pub mod wire;

pub use addr::Address;
pub use bond::BondSettings;
pub use error::Error;
pub use events::{Event, EventSocket};
pub use link::{Link, LinkChange, NewLink};
pub use nft::NftSocket;
pub use route::Route;
pub use route_socket::RouteSocket;
