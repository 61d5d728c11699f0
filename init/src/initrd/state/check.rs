//! From a partition of unknown health to a mount: as it is, after repair, for reading, or memory in its place.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use keelson_image_layout::StateMount;
use rustix::mount::{MountFlags, UnmountFlags, mount as mount_call, unmount};

use super::repair;

/// Where ext4 keeps its superblock, and the fields looked at. Source: kernel `Documentation/filesystems/ext4/super.rst`.
const SUPERBLOCK_AT: u64 = 1024;
const MAGIC_AT: usize = 0x38;
const STATE_AT: usize = 0x3a;
const MAGIC: u16 = 0xef53;
const ERROR_FLAG: u16 = 0x2;

const FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
/// Limits on projects are enforced only when asked for; an error makes the file system read-only.
const OPTIONS: [&str; 2] = ["errors=remount-ro,prjquota", "errors=remount-ro"];

/// What the superblock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Nothing against mounting it.
    Sound,
    /// The kernel noted an error.
    Error,
    /// No ext4 superblock.
    Unreadable,
}

/// Reads the first superblock.
#[must_use]
pub fn judge(superblock: &[u8]) -> Health {
    let field = |at: usize| {
        superblock
            .get(at..at + 2)
            .map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
    };
    match (field(MAGIC_AT), field(STATE_AT)) {
        (Some(MAGIC), Some(state)) if state & ERROR_FLAG != 0 => Health::Error,
        (Some(MAGIC), Some(_)) => Health::Sound,
        _ => Health::Unreadable,
    }
}

fn health(device: &Path) -> Health {
    let mut superblock = [0; 1024];
    match File::open(device).and_then(|file| file.read_exact_at(&mut superblock, SUPERBLOCK_AT)) {
        Ok(()) => judge(&superblock),
        Err(_) => Health::Unreadable,
    }
}

/// Mounts the state at `target` as well as it can be.
pub fn mount(device: &Path, target: &Path, alive: &mut dyn FnMut()) -> StateMount {
    let refused = match health(device) {
        Health::Sound => match mount_for_writing(device, target) {
            Ok(()) => return StateMount::ReadWrite,
            Err(error) => format!("it cannot be mounted: {error}"),
        },
        Health::Error => "the kernel noted an error in it".to_owned(),
        // Whatever lies there now, a repair from an old copy of the superblock would write over it.
        Health::Unreadable => return mount_damaged(device, target, "it has no readable superblock"),
    };
    log::warn!(reason = refused.as_str(); "state partition is repaired");
    let left = match repair::run(device, alive) {
        Ok(repair::Outcome::Clean) => match mount_for_writing(device, target) {
            Ok(()) => {
                log::warn!("state partition was repaired");
                return StateMount::ReadWrite;
            }
            Err(error) => format!("repaired, and still: {error}"),
        },
        Ok(repair::Outcome::Left(code)) => format!("repair gave up with code {code}"),
        Err(error) => format!("repair did not run: {error}"),
    };
    mount_damaged(device, target, &format!("{refused}; {left}"))
}

fn mount_damaged(device: &Path, target: &Path, reason: &str) -> StateMount {
    match mount_for_reading(device, target) {
        Ok(()) => StateMount::ReadOnly {
            reason: reason.to_owned(),
        },
        Err(error) => use_memory(target, &format!("{reason}; for reading: {error}")),
    }
}

fn mount_for_writing(device: &Path, target: &Path) -> io::Result<()> {
    let [with_quota, plain] = OPTIONS;
    mount_ext4(device, target, FLAGS, with_quota).or_else(|_| mount_ext4(device, target, FLAGS, plain))
}

/// Without replaying the journal: the kernel would write, even for a mount that only reads.
fn mount_for_reading(device: &Path, target: &Path) -> io::Result<()> {
    let flags = FLAGS | MountFlags::RDONLY;
    mount_ext4(device, target, flags, "errors=continue,noload")?;
    // A root directory that cannot be read is no state at all.
    let readable = fs::read_dir(target).map(drop);
    if readable.is_err() {
        let _ = unmount(target, UnmountFlags::DETACH);
    }
    readable
}

fn mount_ext4(device: &Path, target: &Path, flags: MountFlags, options: &str) -> io::Result<()> {
    let options = CString::new(options)?;
    Ok(mount_call(device, target, "ext4", flags, options.as_c_str())?)
}

/// Puts memory where the state should be; the partition is left as it was found.
pub fn use_memory(target: &Path, reason: &str) -> StateMount {
    mount_memory(target);
    StateMount::Memory {
        reason: reason.to_owned(),
    }
}

/// The state of a system that runs from an installation medium.
pub fn use_memory_of_medium(target: &Path) -> StateMount {
    mount_memory(target);
    StateMount::Medium
}

fn mount_memory(target: &Path) {
    if let Err(errno) = mount_call("tmpfs", target, "tmpfs", FLAGS, c"mode=0711,size=50%") {
        log::error!(error:% = errno; "memory cannot be mounted in place of the state");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock(magic: u16, state: u16) -> Vec<u8> {
        let mut bytes = vec![0; 1024];
        bytes[MAGIC_AT..MAGIC_AT + 2].copy_from_slice(&magic.to_le_bytes());
        bytes[STATE_AT..STATE_AT + 2].copy_from_slice(&state.to_le_bytes());
        bytes
    }

    #[test]
    fn superblocks_are_judged_by_magic_and_error_flag() {
        let table = [
            (superblock(MAGIC, 1), Health::Sound),
            (superblock(MAGIC, 0), Health::Sound),
            (superblock(MAGIC, 3), Health::Error),
            (superblock(MAGIC, 2), Health::Error),
            (superblock(0, 1), Health::Unreadable),
            (vec![0xff; 1024], Health::Unreadable),
            (Vec::new(), Health::Unreadable),
        ];
        for (bytes, expected) in table {
            assert_eq!(judge(&bytes), expected);
        }
    }
}
