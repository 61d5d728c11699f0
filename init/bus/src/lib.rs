//! The system bus: a small broker that lets clients talk to our objects and to nobody else, and those objects.
//!
//! Who a client is, is known from its control group before its first byte ([`access`]); what may be called is one table
//! ([`policy`]); where a message goes is decided without I/O ([`router`]). [`server`] is the thin rest.

pub mod access;
pub mod bound;
mod driver;
pub mod fuzz;
pub mod handshake;
pub mod link;
pub mod objects;
pub mod policy;
pub mod router;
pub mod server;
pub mod wire;

/// Name of the bus itself.
pub const BUS: &str = "org.freedesktop.DBus";
/// Unique name of our objects' connection.
pub const SERVICE: &str = ":1.0";
/// Well-known names of our objects. They belong to this program; nobody else can own any name.
pub const NAMES: [&str; 2] = [objects::manager::NAME, objects::update::NAME];
