//! The engine: one owner task holds all state; everyone else sends it an [`Action`].

pub mod container;
pub mod error;
pub mod events;
pub mod id;
pub mod record;
pub mod request;
pub mod restart;
pub mod signal;
pub mod store;
