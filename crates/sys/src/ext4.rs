//! ext4: a new identity for a mounted file system.
//!
//! Needs the feature `metadata_csum_seed`, without which every checksum depends on the old identity. Growing is in
//! rustix (`ext4_ioc_resize_fs`). Source: kernel `fs/ext4/ext4.h`, since 6.0.

use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Setter, ioctl, opcode};

/// `struct fsuuid` with its 16 bytes; the opcode is made from the part without them.
#[repr(C)]
struct FsUuid {
    length: u32,
    flags: u32,
    uuid: [u8; 16],
}

/// Gives the file system that `file` lies on the identity `uuid`.
///
/// # Errors
/// `EOPNOTSUPP` when a feature of the file system ties it to its identity, `EROFS` when it is mounted read-only.
#[allow(unsafe_code, reason = "rustix has no EXT4_IOC_SETFSUUID")]
pub fn set_uuid(file: impl AsFd, uuid: [u8; 16]) -> io::Result<()> {
    let argument = FsUuid {
        length: 16,
        flags: 0,
        uuid,
    };
    const SET: u32 = opcode::write::<[u32; 2]>(b'f', 44);
    // SAFETY: the call reads a `struct fsuuid` and then as many bytes after it as its first field says, 16, all of
    // which the argument holds.
    unsafe { ioctl(file, Setter::<SET, FsUuid>::new(argument)) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_on_no_ext4_is_refused() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        assert!(set_uuid(&file, [1; 16]).is_err());
    }
}
