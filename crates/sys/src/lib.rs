//! The only unsafe code of the system: what rustix and nix cannot do safely, one subject per file.
//!
//! A wrapper here turns kernel numbers into named errors, states why each unsafe block holds, and decides nothing.
//! Code that rustix or nix already covers does not belong here.

pub mod block;
pub mod capability;
pub mod cgroup_device;
pub mod children;
pub mod clock;
pub mod clone3;
pub mod dm;
pub mod entropy;
pub mod exec_attributes;
pub mod ext4;
pub mod handover;
pub mod mount_attr;
pub mod netlink;
pub mod packet;
pub mod partition_table;
pub mod passed_fds;
pub mod pidfd_signal;
pub mod project_quota;
pub mod seccomp_filter;
pub mod spawn;
pub mod watchdog;
