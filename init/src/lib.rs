//! PID 1: the initramfs stage, the system stage and the exec helper of one program, kept in one file because they must
//! be in step. Synchronous, single threaded; nothing in here may start a thread or link an async crate.

pub mod accounts;
mod chain;
pub mod exec;
pub mod fuzz;
pub mod initrd;
pub mod kmsg;
pub mod last_words;
pub mod manager;
pub mod modules;
pub mod system;
pub mod tpm;
pub mod unit;

pub use chain::chain;
