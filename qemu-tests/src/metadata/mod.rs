//! EC2's metadata service as a mock: version 2 as Amazon documents it, with a switch for every way it fails in the field.
//!
//! It speaks HTTP itself, byte by byte, since most faults are below what a server library would do.

mod answer;
mod fault;
mod serve;
mod wire;

pub use answer::Instance;
pub use fault::{Fault, Misbehaviour};
pub use serve::{Asked, Server, serve_stdio};
