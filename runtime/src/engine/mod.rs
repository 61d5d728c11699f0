//! The engine: one owner task holds all state; everyone else sends it an [`action::Action`].

pub mod action;
mod change;
mod closing;
pub mod container;
mod entry;
pub mod error;
pub mod events;
pub mod execs;
pub mod id;
pub mod names;
pub mod owner;
mod perform;
mod reach;
mod reconcile;
pub mod record;
pub mod request;
mod requests;
pub mod restart;
pub mod signal;
pub mod store;
