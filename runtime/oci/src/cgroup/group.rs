//! One cgroup directory: made, limited, frozen, killed, removed. All I/O, no decisions about values.

use crate::cgroup::device_program;
use crate::cgroup::devices::DeviceRule;
use crate::cgroup::files::{CgroupFile, controllers};
use crate::error::{Error, Result, Step};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the kernel may take to freeze, to kill or to let go of a cgroup.
const PATIENCE: Duration = Duration::from_secs(10);

/// A cgroup's directory.
#[derive(Debug, Clone)]
pub struct Group {
    root: PathBuf,
    path: PathBuf,
}

impl Group {
    /// The cgroup `relative` of the tree mounted at `root`.
    pub fn new(root: PathBuf, relative: &Path) -> Self {
        let path = root.join(relative);
        Self { root, path }
    }

    /// A cgroup by its directory, as recorded in a state file.
    pub fn at(path: &Path) -> Self {
        Self {
            root: path.to_owned(),
            path: path.to_owned(),
        }
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it and the ones above it, and turns the controllers on that `files` need.
    /// Returns whether it was there before.
    pub fn create(&self, files: &[CgroupFile]) -> Result<bool> {
        let existed = self.path.exists();
        fs::create_dir_all(&self.path).step("create cgroup", &self.path)?;
        let wanted = controllers(files);
        let below = self.path.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let mut parent = self.root.clone();
        for name in below {
            enable(&parent, &wanted)?;
            parent.push(name);
        }
        Ok(existed)
    }

    /// Writes limits, in order.
    pub fn apply(&self, files: &[CgroupFile]) -> Result<()> {
        files.iter().try_for_each(|file| self.apply_one(file))
    }

    fn apply_one(&self, file: &CgroupFile) -> Result<()> {
        let path = self.path.join(&file.name);
        let result = write(&path, &file.value);
        match (&result, &file.instead) {
            (Err(error), Some((name, value))) if is_missing(error) => {
                let other = self.path.join(name);
                write(&other, value).step("set limit", &other)
            }
            // Optional accounting of reserved pages: absent in older kernels.
            (Err(error), None) if is_missing(error) && file.name.ends_with(".rsvd.max") => Ok(()),
            // Without swap there is nothing to limit.
            (Err(error), None) if is_missing(error) && file.name == "memory.swap.max" => Ok(()),
            _ => result.step("set limit", &path),
        }
    }

    /// Attaches the program of these rules in place of the one before, if they restrict anything.
    pub fn restrict_devices(&self, rules: &[DeviceRule]) -> Result<()> {
        use keelson_sys::cgroup_device::{attach, attached, detach, load};
        let directory = self.open()?;
        let before = attached(directory.as_fd()).step("read device programs of", &self.path)?;
        if let Some(program) = device_program::compile(rules) {
            let program = load(&program).step("load device program for", &self.path)?;
            attach(directory.as_fd(), program.as_fd()).step("attach device program to", &self.path)?;
        }
        for old in before {
            detach(directory.as_fd(), old.as_fd()).step("detach device program from", &self.path)?;
        }
        Ok(())
    }

    /// A descriptor to be born into.
    pub fn open(&self) -> Result<OwnedFd> {
        rustix::fs::open(
            &self.path,
            OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .step("open cgroup", &self.path)
    }

    /// Freezes or thaws, and waits until it is so.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let path = self.path.join("cgroup.freeze");
        write(&path, if frozen { "1" } else { "0" }).step("freeze", &path)?;
        let wanted = if frozen { "frozen 1" } else { "frozen 0" };
        if self.await_event(|events| events.lines().any(|line| line == wanted))? {
            return Ok(());
        }
        // Leave nothing half frozen.
        let _ = write(&path, "0");
        Err(Errno::TIMEDOUT).step("freeze", &self.path)
    }

    /// Whether it is frozen or about to be.
    pub fn is_frozen(&self) -> bool {
        fs::read_to_string(self.path.join("cgroup.freeze")).is_ok_and(|text| text.trim() == "1")
    }

    /// Processes in it and below it.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let mut found = Vec::new();
        collect_processes(&self.path, &mut found).step("list processes of", &self.path)?;
        Ok(found)
    }

    /// Sends a signal to every process in it and below it.
    pub fn signal_all(&self, signal: Signal) -> Result<()> {
        if signal == Signal::KILL {
            return self.kill();
        }
        for number in self.processes()? {
            let Some(pid) = Pid::from_raw(number) else { continue };
            match rustix::process::kill_process(pid, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(errno).step("signal processes of", &self.path),
            }
        }
        Ok(())
    }

    /// Kills everything in it and below it.
    pub fn kill(&self) -> Result<()> {
        let path = self.path.join("cgroup.kill");
        match write(&path, "1") {
            Err(error) if is_missing(&error) => Ok(()),
            other => other.step("kill", &path),
        }
    }

    /// Kills what is left and removes it with all below it. One that does not exist is no error.
    pub fn remove(&self) -> Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        self.kill()?;
        let _ = write(&self.path.join("cgroup.freeze"), "0");
        let deadline = Instant::now() + PATIENCE;
        loop {
            match remove_tree(&self.path) {
                Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) && Instant::now() < deadline => {
                    self.await_event(|events| events.lines().any(|line| line == "populated 0"))?;
                    // Populated falls a moment before the last task lets go.
                    std::thread::sleep(Duration::from_millis(1));
                }
                other => return other.step("remove cgroup", &self.path),
            }
        }
    }

    /// How often the kernel killed in it for memory.
    pub fn oom_kills(&self) -> u64 {
        fs::read_to_string(self.path.join("memory.events"))
            .ok()
            .and_then(|text| parse_oom_kills(&text))
            .unwrap_or(0)
    }

    /// Waits until `cgroup.events` satisfies `wanted`; false after the patience has run out.
    fn await_event(&self, wanted: impl Fn(&str) -> bool) -> Result<bool> {
        use rustix::event::{PollFd, PollFlags, poll};
        use std::io::{Read, Seek};
        let path = self.path.join("cgroup.events");
        let mut file = match fs::File::open(&path) {
            Err(error) if is_missing(&error) => return Ok(true),
            other => other.step("open", &path)?,
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut text = String::new();
            file.rewind().step("read", &path)?;
            match file.read_to_string(&mut text) {
                // The cgroup went away.
                Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => return Ok(true),
                other => other.step("read", &path)?,
            };
            if wanted(&text) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let timeout = rustix::event::Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(1),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            match poll(&mut [PollFd::new(&file, PollFlags::PRI)], Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).step("watch", &path),
            }
        }
    }
}

/// `oom_kill N` of memory.events.
pub fn parse_oom_kills(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill "))?
        .trim()
        .parse()
        .ok()
}

fn enable(parent: &Path, wanted: &[&str]) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let read = |name: &str| fs::read_to_string(parent.join(name)).unwrap_or_default();
    let (available, enabled) = (read("cgroup.controllers"), read("cgroup.subtree_control"));
    for controller in wanted {
        let has = |list: &str| list.split_whitespace().any(|name| name == *controller);
        if has(&enabled) {
            continue;
        }
        if !has(&available) {
            let reason = format!("the {controller} controller is not available in {}", parent.display());
            return Err(Error::spec("linux.resources", reason));
        }
        let path = parent.join("cgroup.subtree_control");
        write(&path, &format!("+{controller}")).step("enable a controller in", &path)?;
    }
    Ok(())
}

fn write(path: &Path, value: &str) -> std::io::Result<()> {
    use std::io::Write;
    // Never create: a limit that does not exist must be an error.
    fs::OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(value.as_bytes())
}

fn is_missing(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::NODEV.raw_os_error())
}

fn collect_processes(directory: &Path, found: &mut Vec<i32>) -> std::io::Result<()> {
    match fs::read_to_string(directory.join("cgroup.procs")) {
        // A threaded cgroup lists its processes at the root of its domain.
        Err(error) if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) || is_missing(&error) => {}
        other => found.extend(other?.lines().filter_map(|line| line.parse::<i32>().ok())),
    }
    for entry in children(directory)? {
        collect_processes(&entry, found)?;
    }
    Ok(())
}

fn remove_tree(directory: &Path) -> std::io::Result<()> {
    for entry in children(directory)? {
        remove_tree(&entry)?;
    }
    match fs::remove_dir(directory) {
        Err(error) if is_missing(&error) => Ok(()),
        other => other,
    }
}

fn children(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oom_kills_are_read() {
        assert_eq!(parse_oom_kills("low 0\noom 3\noom_kill 2\noom_group_kill 9\n"), Some(2));
        assert_eq!(parse_oom_kills(""), None);
    }
}
