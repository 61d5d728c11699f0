//! A container that exists: start, signal, freeze, limit, list, remove.

use crate::cgroup::files::plan_files;
use crate::cgroup::group::Group;
use crate::error::{Error, Result, Step};
use crate::hooks;
use crate::spec::load;
use crate::state::{State, StateDirectory, Status};
use keelson_sys::pidfd_signal;
use oci_spec::runtime::{LinuxResources, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// How long a killed process may take to go, in seconds.
const PATIENCE: i64 = 10;

/// A container on record.
#[derive(Debug)]
pub struct Container {
    directory: StateDirectory,
    state: State,
}

impl Container {
    /// Finds it.
    pub fn load(root: &Path, id: &str) -> Result<Self> {
        let directory = StateDirectory::new(root, id)?;
        let state = directory.read()?;
        Ok(Self { directory, state })
    }

    /// What is known of it.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The specification it was made by.
    pub fn spec(&self) -> Result<Spec> {
        load::read(&self.directory.config())
    }

    /// Its cgroup.
    pub fn group(&self) -> Group {
        Group::at(&self.state.cgroup)
    }

    /// Where it stands now.
    pub fn status(&self) -> Status {
        if !self.state.is_alive() {
            Status::Stopped
        } else if self.directory.fifo().exists() {
            Status::Created
        } else if self.group().is_frozen() {
            Status::Paused
        } else {
            Status::Running
        }
    }

    /// Runs its program: opens the FIFO its first process waits at, then runs the poststart hooks.
    pub fn start(&self) -> Result<()> {
        match self.status() {
            Status::Created => {}
            Status::Stopped => return Err(Error::state(&self.state.id, "is stopped")),
            _ => return Err(Error::state(&self.state.id, "has been started already")),
        }
        // Before the FIFO is opened: from then on the program may run, and end.
        let process = self.pidfd()?;
        let path = self.directory.fifo();
        let fifo = open(
            &path,
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .step("open", &path)?;
        let mut both = [PollFd::new(&fifo, PollFlags::IN), PollFd::new(&process, PollFlags::IN)];
        while let Err(errno) = poll(&mut both, None) {
            if errno != Errno::INTR {
                return Err(errno).step("wait at", &path);
            }
        }
        let mut answer = [0; 1];
        if !matches!(rustix::io::read(&fifo, &mut answer), Ok(1)) {
            return Err(Error::state(&self.state.id, "died before it was started"));
        }
        fs::remove_file(&path).step("remove", &path)?;
        let document = self.state.document(Status::Running).to_string().into_bytes();
        hooks::run_all_tolerantly("poststart", hooks::poststart(&self.spec()?), &document);
        Ok(())
    }

    /// Sends a signal to the first process, or to all.
    pub fn kill(&self, signal: i32, all: bool) -> Result<()> {
        if all {
            return self.kill_all(signal);
        }
        if self.status() == Status::Stopped {
            return Err(Error::state(&self.state.id, "is not running"));
        }
        let process = self.pidfd()?;
        pidfd_signal::send(process.as_fd(), signal).step("signal", &self.state.id)
    }

    fn kill_all(&self, signal: i32) -> Result<()> {
        if signal == 9 {
            return self.group().kill();
        }
        for number in self.group().processes()? {
            let Some(pid) = Pid::from_raw(number) else { continue };
            let sent =
                pidfd_open(pid, PidfdFlags::empty()).and_then(|process| pidfd_signal::send(process.as_fd(), signal));
            match sent {
                Ok(()) | Err(Errno::SRCH) => {}
                other => other.step("signal", &self.state.id)?,
            }
        }
        Ok(())
    }

    /// The first process, checked to be it and no later one of its number.
    pub fn pidfd(&self) -> Result<OwnedFd> {
        let gone = || Error::state(&self.state.id, "is not running");
        let pid = Pid::from_raw(self.state.pid).ok_or_else(gone)?;
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Err(gone()),
            other => other.step("open the first process of", &self.state.id)?,
        };
        if self.state.is_alive() {
            Ok(process)
        } else {
            Err(gone())
        }
    }

    /// Freezes every process.
    pub fn pause(&self) -> Result<()> {
        match self.status() {
            Status::Running => self.group().freeze(true),
            other => Err(Error::state(
                &self.state.id,
                format!("is {}, not running", other.word()),
            )),
        }
    }

    /// Thaws them.
    pub fn resume(&self) -> Result<()> {
        match self.status() {
            Status::Paused => self.group().freeze(false),
            other => Err(Error::state(&self.state.id, format!("is {}, not paused", other.word()))),
        }
    }

    /// Changes limits; absent members stay as they are.
    pub fn update(&self, resources: &LinuxResources) -> Result<()> {
        if self.status() == Status::Stopped {
            return Err(Error::state(&self.state.id, "is stopped"));
        }
        let files = plan_files(resources)?;
        let group = self.group();
        group.apply(&files)?;
        match resources.devices() {
            Some(rules) if !rules.is_empty() => group.restrict_devices(&crate::cgroup::devices::plan_rules(rules)?),
            _ => Ok(()),
        }
    }

    /// Its processes, in the host's pid namespace.
    pub fn processes(&self) -> Result<Vec<i32>> {
        self.group().processes()
    }

    /// Removes it: what is left of its processes, the cgroup, the state; then the poststop hooks. A running one only by
    /// force.
    pub fn delete(self, force: bool) -> Result<()> {
        match self.status() {
            Status::Running | Status::Paused if !force => {
                return Err(Error::state(
                    &self.state.id,
                    "is running; stop it first, or delete it by force",
                ));
            }
            Status::Stopped => {}
            _ => self.end()?,
        }
        let spec = self.spec();
        if self.state.owns_cgroup {
            self.group().remove()?;
        } else {
            self.group().kill()?;
        }
        self.directory.remove()?;
        if let Ok(spec) = spec {
            let document = self.state.document(Status::Stopped).to_string().into_bytes();
            hooks::run_all_tolerantly("poststop", hooks::poststop(&spec), &document);
        }
        Ok(())
    }

    /// Kills it and waits until its first process is gone or a zombie.
    fn end(&self) -> Result<()> {
        let Ok(process) = self.pidfd() else { return Ok(()) };
        self.group().kill()?;
        let _ = pidfd_signal::send(process.as_fd(), 9);
        let timeout = Timespec {
            tv_sec: PATIENCE,
            tv_nsec: 0,
        };
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => Err(Errno::TIMEDOUT).step("kill", &self.state.id),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno).step("kill", &self.state.id),
        }
    }
}

/// Every container on record, by id.
pub fn list(root: &Path) -> Result<Vec<Container>> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.step("list", root)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.step("list", root)?.file_name();
        // One being made or removed right now has no state.
        if let Some(container) = name.to_str().and_then(|id| Container::load(root, id).ok()) {
            found.push(container);
        }
    }
    found.sort_by(|a, b| a.state.id.cmp(&b.state.id));
    Ok(found)
}

/// Removes what a crash left of a container that never came to have a state. By force only.
pub fn clear(root: &Path, id: &str) -> Result<()> {
    let directory = StateDirectory::new(root, id)?;
    directory.remove()
}
