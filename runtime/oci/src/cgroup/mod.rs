//! The container's cgroup (version 2 only): limits as files to write, device rules as a program, and the directory itself.

pub mod device_program;
pub mod devices;
pub mod files;
pub mod group;
pub mod root;
