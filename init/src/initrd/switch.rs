//! Leaving the initramfs: the mounts move over, the memory of the initramfs is given back, the system stage begins.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use keelson_image_layout::paths;
use rustix::mount::{UnmountFlags, mount_move, unmount};
use rustix::process::{chdir, chroot};

use super::root::SYSROOT;

/// Moved with everything mounted below them.
const MOVED: [&str; 4] = ["/dev", "/proc", "/sys", "/run"];

/// Makes [`SYSROOT`] the root and executes PID 1 of it. Returns only on failure.
pub fn switch(environment: Option<(&'static str, String)>) -> io::Error {
    match enter() {
        Ok(()) => {
            let mut command = Command::new(paths::INIT);
            command.env_clear().env("PATH", "/usr/bin:/usr/sbin").envs(environment);
            command.exec()
        }
        Err(error) => error,
    }
}

fn enter() -> io::Result<()> {
    let old = fs::metadata("/")?.dev();
    for directory in MOVED {
        let target = Path::new(SYSROOT).join(directory.trim_start_matches('/'));
        mount_move(directory, &target)
            .map_err(|errno| io::Error::other(format!("move {directory} to {}: {errno}", target.display())))?;
    }
    chdir(SYSROOT)?;
    empty(Path::new("/"), old);
    mount_move(".", "/")?;
    chroot(".")?;
    Ok(chdir("/")?)
}

/// Removes everything on the initramfs' own file system; what is mounted below it has another device number. Best
/// effort: what stays costs memory and nothing else.
fn empty(directory: &Path, device: u64) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.dev() != device {
            continue;
        }
        if metadata.is_dir() {
            empty(&path, device);
            let _ = fs::remove_dir(&path);
        } else {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Unmounts what can be, so that a reboot from here leaves the state clean.
pub fn unmount_state() {
    let state = Path::new(SYSROOT).join(paths::STATE.trim_start_matches('/'));
    if let Ok(path) = CString::new(OsStr::new(&state).as_bytes()) {
        let _ = unmount(path.as_c_str(), UnmountFlags::DETACH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emptying_stays_on_its_file_system() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", directory.path().join("link")).unwrap();
        let device = fs::metadata(directory.path()).unwrap().dev();
        empty(directory.path(), device + 1);
        assert!(deep.join("file").exists());
        empty(directory.path(), device);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(Path::new("/etc").exists());
    }
}
