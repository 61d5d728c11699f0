//! The cgroups of a container: `containers/ID/shim` for its shim, `containers/ID/payload` for its
//! processes. Both lie outside the engine's own cgroup, so that the engine's end does not reach them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::engine::id::ContainerId;

/// Controllers containers are limited by.
const CONTROLLERS: [&str; 5] = ["cpu", "memory", "pids", "io", "cpuset"];

/// How long the kernel may take to empty a killed cgroup.
const PATIENCE: Duration = Duration::from_secs(5);

/// Directory of all containers.
fn top(tree: &Path) -> PathBuf {
    tree.join("containers")
}

/// Directory of the shim.
pub fn shim(tree: &Path, id: &ContainerId) -> PathBuf {
    top(tree).join(id.as_str()).join("shim")
}

/// Where the container's processes go, as the OCI spec writes it: from the root of the tree.
pub fn payload(id: &ContainerId) -> PathBuf {
    Path::new("/containers").join(id.as_str()).join("payload")
}

/// Whether containers can be limited by a controller.
pub fn has_controller(tree: &Path, name: &str) -> bool {
    let present = fs::read_to_string(tree.join("cgroup.controllers")).unwrap_or_default();
    present.split_whitespace().any(|have| have == name)
}

/// Makes the directories and hands the controllers down.
///
/// # Errors
/// The tree cannot be written.
pub fn prepare(tree: &Path, id: &ContainerId) -> io::Result<()> {
    let top = top(tree);
    let own = top.join(id.as_str());
    fs::create_dir_all(&own)?;
    for directory in [tree, &top, &own] {
        hand_down(directory);
    }
    Ok(())
}

/// One at a time: a controller that cannot be handed down must not keep the others away.
fn hand_down(directory: &Path) {
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
    let (present, handed) = (read("cgroup.controllers"), read("cgroup.subtree_control"));
    let has = |list: &str, name: &str| list.split_whitespace().any(|have| have == name);
    let missing = |name: &&str| has(&present, name) && !has(&handed, name);
    for controller in CONTROLLERS.into_iter().filter(missing) {
        let file = directory.join("cgroup.subtree_control");
        if let Err(error) = fs::write(file, format!("+{controller}")) {
            let error = error.to_string();
            log::warn!(controller = controller, error = error; "a cgroup controller cannot be handed to containers");
        }
    }
}

/// Kills what is left in a container's cgroups and removes them. Blocking.
pub fn remove(tree: &Path, id: &ContainerId) {
    let own = top(tree).join(id.as_str());
    if !own.exists() {
        return;
    }
    if let Err(error) = fs::write(own.join("cgroup.kill"), "1") {
        let error = error.to_string();
        log::debug!(container = id.as_str(), error = error; "cannot kill a container's cgroup");
    }
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = remove_tree(&own) {
        if Instant::now() > deadline {
            let error = error.to_string();
            log::warn!(container = id.as_str(), error = error; "cannot remove a container's cgroup");
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Only directories can be removed in a cgroup tree, from the bottom up.
fn remove_tree(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
