//! The journal: what services, containers and the kernel say, kept in order and found again.
//!
//! The parsers and the store know nothing of sockets; `server` joins them in one synchronous loop. The journal never
//! logs into itself, and nothing it receives can make it stop.

pub mod entry;
pub mod fuzz;
pub mod kernel;
pub mod native;
pub mod origin;
pub mod query;
pub mod rate;
pub mod render;
pub mod server;
pub mod store;
pub mod stream;
pub mod syslog;

pub use entry::{Entry, Fields};
pub use query::Query;
pub use store::Store;
