//! The container's side: what the new process does from its birth to execve. Runs in a clone of the caller, inside the
//! container's namespaces; it reports to the parent over one socket and returns only by failing.

pub mod console;
pub mod copy_up;
pub mod devices;
pub mod file_system;
pub mod finish;
pub mod inside;
pub mod join;
pub mod masks;
pub mod mounts;
pub mod program;
pub mod report;
pub mod root;
pub mod story;
pub mod user;
