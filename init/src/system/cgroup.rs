//! Control groups of units: made, limited, watched, killed, removed. Everything is a small file below one root, so
//! nothing here can block.
//!
//! ```text
//! ROOT/init            PID 1
//! ROOT/system/UNIT     one per unit; with `delegate`, its process starts in ROOT/system/UNIT/main
//! ROOT/containers      the engine's
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::unit::Unit;

/// Group of the main process of a unit whose group is delegated.
const MAIN: &str = "main";

/// The groups of this machine.
#[derive(Debug)]
pub struct Groups {
    root: PathBuf,
    /// What `/proc/PID/cgroup` says before `/init`, `/system` and `/containers`.
    prefix: String,
    events: BTreeMap<String, File>,
}

/// A file of a group that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("control group file {path}")]
pub struct GroupError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Groups {
    /// Makes the tree below `root`, moves this process into `init` and hands all controllers down.
    ///
    /// # Errors
    /// [`GroupError`] if the tree cannot be made; controllers that cannot be handed down are left out.
    pub fn set_up(root: &Path) -> Result<Self, GroupError> {
        for name in ["init", "system", "containers"] {
            make(&root.join(name))?;
        }
        let procs = root.join("init/cgroup.procs");
        fs::write(&procs, "0").map_err(|source| GroupError { path: procs, source })?;
        for group in [root.to_owned(), root.join("system"), root.join("containers")] {
            hand_down(&group);
        }
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let prefix = parse_group(&own)
            .and_then(|path| path.strip_suffix("/init"))
            .unwrap_or_default()
            .to_owned();
        Ok(Groups {
            root: root.to_owned(),
            prefix,
            events: BTreeMap::new(),
        })
    }

    /// Protects the memory all units together ask for; protection is given from the top down.
    pub fn protect(&self, units: impl Iterator<Item = u64>) {
        let total: u64 = units.fold(0, u64::saturating_add);
        if let Err(error) = fs::write(self.root.join("system/memory.min"), total.to_string()) {
            log::info!("memory of units is not protected: {error}");
        }
    }

    /// Makes and limits the group of a unit; gives the directory its process starts in. A delegated group belongs to
    /// `owner`, and the process starts in a group below it: the kernel wants processes in leaves only.
    ///
    /// # Errors
    /// [`GroupError`] if the group cannot be made. A limit that cannot be set is logged.
    pub fn prepare(&mut self, unit: &Unit, owner: Option<(u32, u32)>) -> Result<OwnedFd, GroupError> {
        let path = self.path(&unit.name);
        make(&path)?;
        for (file, value) in plan_limits(unit) {
            if let Err(error) = fs::write(path.join(file), &value) {
                log::info!(unit = unit.name.as_str(); "limit {file}={value} is not set: {error}");
            }
        }
        let open = |path: PathBuf| File::open(&path).map_err(|source| GroupError { path, source });
        if !self.events.contains_key(&unit.name) {
            self.events.insert(unit.name.clone(), open(path.join("cgroup.events"))?);
        }
        if owner.is_none() {
            return Ok(open(path)?.into());
        }
        let main = path.join(MAIN);
        make(&main)?;
        delegate(&[path, main.clone()], owner);
        Ok(open(main)?.into())
    }

    /// Looks again after a group that exists already (in a new copy of PID 1). Whether there is one.
    pub fn adopt(&mut self, unit: &str) -> bool {
        let Ok(events) = File::open(self.path(unit).join("cgroup.events")) else {
            return false;
        };
        self.events.insert(unit.to_owned(), events);
        true
    }

    /// The event file of a unit's group.
    #[must_use]
    pub fn events(&self, unit: &str) -> Option<BorrowedFd<'_>> {
        self.events.get(unit).map(AsFd::as_fd)
    }

    /// Whether the group has processes; reading also arms the next event.
    pub fn is_populated(&mut self, unit: &str) -> bool {
        let Some(file) = self.events.get_mut(unit) else {
            return false;
        };
        let mut text = String::new();
        match file.rewind().and_then(|()| file.read_to_string(&mut text)) {
            Ok(_) => text.lines().any(|line| line == "populated 1"),
            // The group is gone.
            Err(_) => false,
        }
    }

    /// Kills everything in the group at once.
    pub fn kill(&self, unit: &str) {
        match fs::write(self.path(unit).join("cgroup.kill"), "1") {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::warn!(unit; "cannot kill the control group: {error}"),
        }
    }

    /// Kills everything in all units' and containers' groups.
    pub fn kill_all(&self) {
        for name in ["system", "containers"] {
            let _ = fs::write(self.root.join(name).join("cgroup.kill"), "1");
        }
    }

    /// Removes the empty group and what is below it.
    pub fn remove(&mut self, unit: &str) {
        self.events.remove(unit);
        remove_tree(&self.path(unit));
    }

    /// The place in the tree of a process, by the text of its `/proc/PID/cgroup`.
    #[must_use]
    pub fn place<'a>(&self, text: &'a str) -> Place<'a> {
        parse_group(text).map_or(Place::Outside, |path| decide_place(path, &self.prefix))
    }

    fn path(&self, unit: &str) -> PathBuf {
        self.root.join("system").join(unit)
    }
}

/// Hands groups to the user of a unit: the directory and the files that move processes and hand controllers down.
fn delegate(groups: &[PathBuf], owner: Option<(u32, u32)>) {
    let Some((uid, gid)) = owner else { return };
    for group in groups {
        for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            if let Err(error) = std::os::unix::fs::chown(group.join(file), Some(uid), Some(gid)) {
                log::warn!("control group {} is not handed over: {error}", group.display());
            }
        }
    }
}

/// Where a process stands in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// In the root or with PID 1: the kernel's helpers, the initramfs.
    Machine,
    /// In the group of this unit or below it.
    Unit(&'a str),
    /// In a container, or anywhere else.
    Outside,
}

fn decide_place<'a>(path: &'a str, prefix: &str) -> Place<'a> {
    let Some(path) = path.strip_prefix(prefix) else {
        return Place::Outside;
    };
    match path {
        "" | "/" | "/init" => Place::Machine,
        _ => match path.strip_prefix("/system/").and_then(|rest| rest.split('/').next()) {
            Some(unit) if !unit.is_empty() => Place::Unit(unit),
            _ => Place::Outside,
        },
    }
}

/// The version 2 path of `/proc/PID/cgroup`.
fn parse_group(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Files of a unit's group and their values. Everything that has a limit is written, so that a value of an earlier
/// version of the unit does not stay.
fn plan_limits(unit: &Unit) -> Vec<(&'static str, String)> {
    let resources = &unit.resources;
    let mut limits = Vec::new();
    limits.extend(resources.memory_min.map(|bytes| ("memory.min", bytes.to_string())));
    limits.extend(resources.memory_max.map(|bytes| ("memory.max", bytes.to_string())));
    limits.extend(resources.pids_max.map(|number| ("pids.max", number.to_string())));
    limits.extend(resources.cpu_weight.map(|weight| ("cpu.weight", weight.to_string())));
    limits
}

/// Hands each controller down by itself: one that the kernel refuses must not take the others with it.
fn hand_down(group: &Path) {
    let available = fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
    for controller in available.split_whitespace() {
        if let Err(error) = fs::write(group.join("cgroup.subtree_control"), format!("+{controller}")) {
            log::info!(
                "controller {controller} is not handed down in {}: {error}",
                group.display()
            );
        }
    }
}

fn make(path: &Path) -> Result<(), GroupError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(GroupError {
            path: path.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

/// Depth first, children before parents; groups are directories that look full and yet can be removed.
fn remove_tree(path: &Path) {
    let mut pending = vec![path.to_owned()];
    let mut found = Vec::new();
    while let Some(directory) = pending.pop() {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        pending.extend(
            entries
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
        found.push(directory);
    }
    for directory in found.iter().rev() {
        // A process that appeared since keeps its group; the next stop of the unit tries again.
        let _ = fs::remove_dir(directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_processes() {
        for (path, prefix, place) in [
            ("/", "", Place::Machine),
            ("/init", "", Place::Machine),
            ("/system/netd", "", Place::Unit("netd")),
            ("/system/access/session-4", "", Place::Unit("access")),
            ("/system", "", Place::Outside),
            ("/system/", "", Place::Outside),
            ("/containers/system/netd", "", Place::Outside),
            ("/containers/abc", "", Place::Outside),
            ("/../system/netd", "", Place::Outside),
            ("/t/system/netd", "/t", Place::Unit("netd")),
            ("/t", "/t", Place::Machine),
            ("/system/netd", "/t", Place::Outside),
        ] {
            assert_eq!(decide_place(path, prefix), place, "{path} below {prefix:?}");
        }
        assert_eq!(parse_group("9:name=systemd:/\n0::/system/x\n"), Some("/system/x"));
        assert_eq!(parse_group("9:name=systemd:/\n"), None);
    }
}
