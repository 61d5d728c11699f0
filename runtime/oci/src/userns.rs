//! User namespaces: their id maps, and one without a process, for idmapped mounts.

use crate::error::{Result, Step};
use keelson_sys::clone3::{Clone3, Cloned, clone3};
use keelson_sys::exec_attributes::exit_now;
use linux_raw_sys::general::CLONE_NEWUSER;
use oci_spec::runtime::LinuxIdMapping;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use std::os::fd::{AsFd, OwnedFd};

/// The text of a uid_map or gid_map file.
pub fn format_map(mappings: &[LinuxIdMapping]) -> String {
    mappings
        .iter()
        .map(|mapping| format!("{} {} {}\n", mapping.container_id(), mapping.host_id(), mapping.size()))
        .collect()
}

/// Writes the maps of a process born in a new user namespace.
pub fn write_maps(pid: Pid, uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> Result<()> {
    for (name, mappings) in [("uid_map", uids), ("gid_map", gids)] {
        let path = format!("/proc/{}/{name}", pid.as_raw_nonzero());
        std::fs::write(&path, format_map(mappings)).step("write", &path)?;
    }
    Ok(())
}

/// Makes a user namespace with these maps and no process in it.
pub fn make(uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> Result<OwnedFd> {
    let (wait, hold) = pipe_with(PipeFlags::CLOEXEC).step("make a pipe", "")?;
    let how = Clone3 {
        namespaces: u64::from(CLONE_NEWUSER),
        ..Clone3::default()
    };
    match clone3(&how).step("make a user namespace", "")? {
        Cloned::Child => {
            drop(hold);
            // Ends when the parent lets go, or dies.
            let _ = rustix::io::read(&wait, &mut [0; 1]);
            exit_now(0)
        }
        Cloned::Parent { pid, pidfd } => {
            let made = write_maps(pid, uids, gids).and_then(|()| {
                let path = format!("/proc/{}/ns/user", pid.as_raw_nonzero());
                open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).step("open", &path)
            });
            let _ = pidfd_send_signal(&pidfd, Signal::KILL);
            reap(&pidfd);
            drop(hold);
            made
        }
    }
}

/// Collects a child of ours that is about to end.
pub fn reap(pidfd: &OwnedFd) {
    while let Err(Errno::INTR) = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {}
}
