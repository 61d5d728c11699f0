//! `keelson config`: what is in force, and what documents would do.

mod documents;
mod show;

pub use documents::{checked, plan, validate};
pub use show::show;
