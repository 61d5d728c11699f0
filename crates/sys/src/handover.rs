//! What a program image leaves to the next one of the same process: bytes in a memfd, descriptors by number. The other
//! side takes them with [`crate::spawn::take_left_open`].

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use rustix::fs::MemfdFlags;
use rustix::io::FdFlags;

/// Bytes in a memfd that stays open over `execve`. `name` is seen in `/proc` only.
///
/// # Errors
/// What the kernel says.
pub fn write(name: &str, bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create(name, MemfdFlags::empty())?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Lets a descriptor stay open over `execve`; its number.
///
/// # Errors
/// What the kernel says.
pub fn leave_open(descriptor: &impl AsFd) -> io::Result<RawFd> {
    rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
    Ok(descriptor.as_fd().as_raw_fd())
}

/// Takes that back if there is no new image after all.
pub fn close_on_exec(descriptor: &impl AsFd) {
    let _ = rustix::io::fcntl_setfd(descriptor, FdFlags::CLOEXEC);
}
