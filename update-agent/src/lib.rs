//! The update agent: what is known of the two slots, committing the running one, and bringing a release into the other.

pub mod agent;
