//! Having the kernel read a disk's partition table again.
//!
//! Refused while any partition is open; then `block::resize_partition` changes one.
//! Source: kernel `include/uapi/linux/fs.h`.

use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{NoArg, Opcode, ioctl};

const BLKRRPART: Opcode = 0x125f;

/// Reads the table of `disk` (the whole disk, open) again; on return the kernel has made the partitions anew.
///
/// # Errors
/// The kernel's answer: `EBUSY` while a partition is open, `EINVAL` when the disk can have none.
#[allow(unsafe_code, reason = "rustix has no BLKRRPART")]
pub fn read_again(disk: impl AsFd) -> io::Result<()> {
    // SAFETY: `BLKRRPART` takes no argument and touches no memory of ours.
    unsafe { ioctl(disk, NoArg::<BLKRRPART>::new()) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_file_that_is_no_disk_is_refused() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(super::read_again(&file).is_err());
    }
}
