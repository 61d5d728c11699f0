//! The only unsafe code of the system: what rustix and nix cannot do safely, one subject per file.
//!
//! A wrapper here turns kernel numbers into named errors, states why each unsafe block holds, and decides nothing.
//! Code that rustix or nix already covers does not belong here.

pub mod netlink;
pub mod block;
pub mod dm;
pub mod entropy;
pub mod ext4;
pub mod passed_fds;
pub mod watchdog;
