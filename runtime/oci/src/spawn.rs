//! Making the new process: by clone, or by an intermediate process that joins namespaces first.

use crate::error::{Error, Result, Step};
use crate::init::finish;
use crate::init::join::{self, Joinable};
use crate::init::report::{Line, Report, pair};
use crate::userns::reap;
use keelson_sys::clone3::{Clone3, Cloned, clone3};
use keelson_sys::exec_attributes::exit_now;
use rustix::io::Errno;
use rustix::process::Pid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A new process and the line to it.
#[derive(Debug)]
pub struct Spawned {
    /// Its number in our pid namespace.
    pub pid: Pid,
    /// Its descriptor.
    pub pidfd: OwnedFd,
    /// Our end.
    pub line: Line,
}

/// How the intermediate process gets to where the new one belongs.
#[derive(Debug)]
pub enum Route<'a> {
    /// No intermediate.
    Direct,
    /// It joins these.
    Joining(&'a [Joinable]),
    /// It joins those of a process: flags of the kinds that differ from ours.
    Following(BorrowedFd<'a>, u64),
}

/// Makes a process in the namespaces `flags` (new) and the cgroup, and lets it `live` there with its end of the line
/// (`live` does not return).
///
/// `cgroup` errors with `EBUSY` if it delegates controllers and may not hold processes.
pub fn spawn(route: &Route<'_>, flags: u64, cgroup: BorrowedFd<'_>, live: impl FnOnce(Line)) -> Result<Spawned> {
    let (ours, theirs) = pair()?;
    let direct = matches!(route, Route::Direct);
    let how = Clone3 {
        namespaces: if direct { flags } else { 0 },
        cgroup: Some(cgroup),
        sibling: false,
    };
    match clone3(&how).step("make a process", "")? {
        Cloned::Child => {
            drop(ours);
            if direct {
                live(theirs);
                exit_now(1)
            }
            pass_through(route, flags, theirs, live)
        }
        Cloned::Parent { pid, pidfd } if direct => Ok(Spawned { pid, pidfd, line: ours }),
        Cloned::Parent { pidfd, .. } => {
            drop(theirs);
            let report = ours.receive();
            reap(&pidfd);
            match report? {
                Some((Report::Staged { pid }, Some(pidfd))) => {
                    let pid = Pid::from_raw(pid).ok_or(Errno::INVAL).step("make a process", "")?;
                    Ok(Spawned { pid, pidfd, line: ours })
                }
                Some((Report::Failed { kind, message }, _)) => Err(Error::Container { kind, message }),
                _ => Err(Errno::CHILD).step("make a process", ""),
            }
        }
    }
}

/// The intermediate process: joins, makes the new process as its parent's child, says so and ends.
fn pass_through(route: &Route<'_>, flags: u64, line: Line, live: impl FnOnce(Line)) -> ! {
    let made = travel(route).and_then(|()| {
        let how = Clone3 {
            namespaces: flags,
            cgroup: None,
            sibling: true,
        };
        clone3(&how).step("make a process in the container's namespaces", "")
    });
    match made {
        Ok(Cloned::Child) => {
            live(line);
            exit_now(1)
        }
        Ok(Cloned::Parent { pid, pidfd }) => {
            let report = Report::Staged {
                pid: pid.as_raw_nonzero().get(),
            };
            exit_now(i32::from(line.send(&report, Some(pidfd.as_fd())).is_err()))
        }
        Err(error) => {
            let _ = line.send(&Report::failure(&error), None);
            exit_now(1)
        }
    }
}

fn travel(route: &Route<'_>) -> Result<()> {
    finish::hide()?;
    match route {
        Route::Direct => Ok(()),
        Route::Joining(namespaces) => join::join(namespaces),
        Route::Following(process, flags) => {
            let flags = i32::try_from(*flags).unwrap_or_default();
            nix::sched::setns(process, nix::sched::CloneFlags::from_bits_retain(flags))
                .step("join the container's namespaces", "")
        }
    }
}
