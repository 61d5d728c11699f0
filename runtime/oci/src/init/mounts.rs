//! The specification's mounts, put below the container's root one by one.

use crate::error::{Error, Result, Step};
use crate::init::file_system::{attach, change, copy_tree, new_file_system};
use crate::init::inside::Inside;
use crate::prepare::BindSource;
use crate::spec::mounts::{MountKind, MountPlan};
use keelson_sys::mount_attr::MountAttr;
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Mounts one. `source` is the bind mount's tree, opened and set up by the parent; `cgroup` the container's cgroup directory.
pub fn mount_one(inside: Inside<'_>, mount: &MountPlan, source: Option<&BindSource>, cgroup: &Path) -> Result<()> {
    let path = &mount.destination;
    match &mount.kind {
        MountKind::Bind { .. } => {
            let source = source
                .ok_or(Errno::BADF)
                .step("find the source of the mount at", path)?;
            let target = make_target(inside, path, source.is_directory).step("make mount point", path)?;
            attach(source.tree.as_fd(), target.as_fd()).step("mount", path)
        }
        MountKind::Cgroup => {
            let tree = cgroup_tree(mount, cgroup)?;
            place(inside, mount, tree.as_fd())
        }
        MountKind::FileSystem { fstype, source, data } => {
            let tree = new_file_system(fstype, source, data, mount.attr.set).step("mount", path)?;
            if mount.copy_up {
                crate::init::copy_up::copy_up(inside, path, tree.as_fd()).step("copy up", path)?;
            }
            place(inside, mount, tree.as_fd())
        }
    }
}

fn place(inside: Inside<'_>, mount: &MountPlan, tree: BorrowedFd<'_>) -> Result<()> {
    let path = &mount.destination;
    let target = make_target(inside, path, true).step("make mount point", path)?;
    attach(tree, target.as_fd()).step("mount", path)?;
    apply_tree_changes(mount, tree)
}

/// Attributes for the whole tree and propagation; on a bind mount the parent has done it.
pub fn apply_tree_changes(mount: &MountPlan, tree: BorrowedFd<'_>) -> Result<()> {
    if !mount.tree_attr.is_empty() {
        let attr = MountAttr {
            set: mount.tree_attr.set,
            clear: mount.tree_attr.clear,
            recursive: true,
            ..MountAttr::default()
        };
        change(tree, &attr, &mount.destination)?;
    }
    for (propagation, recursive) in &mount.propagation {
        let attr = MountAttr {
            propagation: *propagation,
            recursive: *recursive,
            ..MountAttr::default()
        };
        change(tree, &attr, &mount.destination)?;
    }
    Ok(())
}

fn make_target(inside: Inside<'_>, path: &Path, directory: bool) -> Result<OwnedFd, Errno> {
    if directory {
        inside.make_directory(path, 0o755)
    } else {
        inside.make_file(path)
    }
}

/// The cgroup file system; where the namespaces do not allow a new one, the container's own directory of the host's.
fn cgroup_tree(mount: &MountPlan, cgroup: &Path) -> Result<OwnedFd> {
    match new_file_system("cgroup2", "cgroup", &[], mount.attr.set) {
        Err(error) if is_refused(&error) => {
            let tree = copy_tree(cgroup, false).step("mount", &mount.destination)?;
            let attr = MountAttr {
                set: mount.attr.set,
                clear: mount.attr.clear,
                ..MountAttr::default()
            };
            change(tree.as_fd(), &attr, &mount.destination)?;
            Ok(tree)
        }
        other => other.step("mount", &mount.destination),
    }
}

fn is_refused(error: &std::io::Error) -> bool {
    [Errno::PERM, Errno::BUSY]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
        || error.kind() == std::io::ErrorKind::PermissionDenied
}

/// Refuses a bind over /proc that is no proc file system: masks and programs rely on what it says.
pub fn check_proc_bind(mount: &MountPlan, tree: BorrowedFd<'_>) -> Result<()> {
    if mount.destination != Path::new("/proc") {
        return Ok(());
    }
    let found = rustix::fs::fstatfs(tree).step("examine the source of", &mount.destination)?;
    if found.f_type == rustix::fs::PROC_SUPER_MAGIC {
        return Ok(());
    }
    Err(Error::spec("mounts", "/proc can only be a proc file system"))
}
