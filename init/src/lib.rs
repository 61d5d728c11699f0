//! PID 1: the initramfs stage, the system stage and the exec helper of one program, kept in one file because they must
//! be in step. Synchronous, single threaded; nothing in here may start a thread or link an async crate.

pub mod accounts;
pub mod exec;
pub mod fuzz;
pub mod manager;
pub mod system;
pub mod unit;
