//! Block devices: telling the kernel the new length of a partition that is in use; zeroing and reading past the cache.
//!
//! Re-reading the whole table is refused while any partition is open; `BLKPG` changes one of them.
//! Source: kernel `include/uapi/linux/blkpg.h`.

use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{NoArg, Opcode, Setter, ioctl};

const BLKPG: Opcode = 0x1269;
const RESIZE_PARTITION: i32 = 3;

/// `struct blkpg_partition`.
#[repr(C)]
struct Partition {
    start: i64,
    length: i64,
    number: i32,
    device_name: [u8; 64],
    volume_name: [u8; 64],
}

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct Argument {
    operation: i32,
    flags: i32,
    length: i32,
    data: *mut Partition,
}

/// Sets the length of partition `number` of `disk` (the whole disk, open) to `length` bytes from `start`. Both are
/// multiples of 512; `start` must be where the partition begins already.
///
/// # Errors
/// The kernel's answer: `EINVAL` when it does not fit the disk, `EBUSY` when it overlaps another partition.
#[allow(unsafe_code, reason = "rustix has no BLKPG")]
pub fn resize_partition(disk: impl AsFd, number: u32, start: u64, length: u64) -> io::Result<()> {
    let number_fits = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut partition = Partition {
        start: i64::try_from(start).map_err(number_fits)?,
        length: i64::try_from(length).map_err(number_fits)?,
        number: i32::try_from(number).map_err(number_fits)?,
        device_name: [0; 64],
        volume_name: [0; 64],
    };
    let argument = Argument {
        operation: RESIZE_PARTITION,
        flags: 0,
        length: size_of::<Partition>() as i32,
        data: &raw mut partition,
    };
    // SAFETY: `BLKPG` takes a `struct blkpg_ioctl_arg`, which points to a `struct blkpg_partition` of the length it
    // names; both are laid out as the kernel's and live until the call returns. The kernel only reads them.
    unsafe { ioctl(disk, Setter::<BLKPG, Argument>::new(argument)) }?;
    Ok(())
}

const BLKZEROOUT: Opcode = 0x127f;
const BLKFLSBUF: Opcode = 0x1261;

/// Makes `length` bytes of a disk from `start` read as zeros, by whatever the disk does fastest. Both are multiples of
/// a sector. Source: kernel `include/uapi/linux/fs.h`.
///
/// # Errors
/// The kernel's answer: `EINVAL` beyond the end, `ENOTTY` when it is no block device.
#[allow(unsafe_code, reason = "rustix has no BLKZEROOUT")]
pub fn zero_out(disk: impl AsFd, start: u64, length: u64) -> io::Result<()> {
    // SAFETY: `BLKZEROOUT` reads two 64-bit numbers, start and length, and writes no memory of ours.
    unsafe { ioctl(disk, Setter::<BLKZEROOUT, [u64; 2]>::new([start, length])) }?;
    Ok(())
}

/// Writes out what is cached of a disk and forgets it, so that the next read comes from the medium.
///
/// # Errors
/// The kernel's answer: `EACCES` without `CAP_SYS_ADMIN`.
#[allow(unsafe_code, reason = "rustix has no BLKFLSBUF")]
pub fn drop_cache(disk: impl AsFd) -> io::Result<()> {
    // SAFETY: `BLKFLSBUF` takes no argument and touches no memory of ours.
    unsafe { ioctl(disk, NoArg::<BLKFLSBUF>::new()) }?;
    Ok(())
}

/// The same for a disk or a plain file: what was flushed before is read from the medium next.
///
/// # Errors
/// The kernel's answer.
pub fn forget(file: impl AsFd) -> io::Result<()> {
    let mode = rustix::fs::fstat(&file)?.st_mode;
    if rustix::fs::FileType::from_raw_mode(mode) == rustix::fs::FileType::BlockDevice {
        return drop_cache(file);
    }
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_sizes_of_the_kernel() {
        assert_eq!(size_of::<Partition>(), 152);
        assert_eq!(size_of::<Argument>(), 24);
    }

    #[test]
    fn a_plain_file_is_forgotten_too() {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        forget(&file).unwrap();
    }

    #[test]
    fn a_file_that_is_no_disk_is_refused() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(resize_partition(&file, 1, 0, 512).is_err());
    }
}
