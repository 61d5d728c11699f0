//! The file systems of the kernel, mounted before anything else.

use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

/// What is mounted where, in order.
const MOUNTS: [(&str, &str, &str, MountFlags); 4] = [
    ("proc", "/proc", "", QUIET.union(MountFlags::NOEXEC)),
    ("sysfs", "/sys", "", QUIET.union(MountFlags::NOEXEC)),
    (
        "devtmpfs",
        "/dev",
        "mode=0755",
        MountFlags::NOSUID.union(MountFlags::NOEXEC),
    ),
    ("tmpfs", "/run", "mode=0755,size=20%,nr_inodes=800k", QUIET),
];
const QUIET: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// EFI variables; they appear with the module `efivarfs`.
pub const EFI_VARIABLES: &str = "/sys/firmware/efi/efivars";
/// What earlier boots left behind.
pub const PSTORE: &str = "/sys/fs/pstore";

/// Mounts `/proc`, `/sys`, `/dev` and `/run`. One that is mounted already is left alone.
///
/// # Errors
/// Names the first that fails.
pub fn mount_all() -> io::Result<()> {
    MOUNTS.iter().try_for_each(|(kind, target, options, flags)| {
        make_directory(target)?;
        mount_one(kind, target, options, *flags)
    })
}

/// Mounts one file system of the kernel where the directory exists.
///
/// # Errors
/// The kernel's answer with the target's name.
pub fn mount_kernel(kind: &str, target: &str) -> io::Result<()> {
    mount_one(kind, target, "", QUIET | MountFlags::NOEXEC)
}

fn mount_one(kind: &str, target: &str, options: &str, flags: MountFlags) -> io::Result<()> {
    let options = std::ffi::CString::new(options)?;
    match mount(kind, target, kind, flags, options.as_c_str()) {
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(errno) => {
            let kind_of_error = io::Error::from(errno).kind();
            Err(io::Error::new(
                kind_of_error,
                format!("mount {kind} on {target}: {errno}"),
            ))
        }
    }
}

/// Makes a directory with its parents.
///
/// # Errors
/// The kernel's answer.
pub fn make_directory(path: impl AsRef<Path>) -> io::Result<()> {
    std::fs::create_dir_all(path)
}
