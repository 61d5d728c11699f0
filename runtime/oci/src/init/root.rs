//! The container's root: attached, filled, covered, and made the process's root.

use crate::error::{Result, Step};
use crate::init::file_system::{attach, change};
use crate::init::inside::Inside;
use crate::init::{devices, masks, mounts};
use crate::prepare::Prepared;
use crate::spec::mount_options::{PRIVATE_TREE, is_shared};
use crate::spec::validate::Plan;
use keelson_sys::mount_attr::MountAttr;
use linux_raw_sys::general::MOUNT_ATTR_RDONLY;
use oci_spec::runtime::LinuxNamespaceType as Kind;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::{chdir, fchdir, pivot_root};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Covers our root by the container's and mounts everything below it. Our root stays what it was, so paths of the host
/// are still to be had.
pub fn build(plan: &Plan, prepared: &Prepared, cgroup: &Path) -> Result<()> {
    if plan.namespaces.is_new(Kind::Mount) {
        let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", flags).step("make private", "/")?;
    }
    let host = open_directory("/")?;
    attach(prepared.root.as_fd(), host.as_fd()).step("attach root", &plan.rootfs)?;
    let inside = Inside::new(prepared.root.as_fd());
    for (index, mount) in plan.mounts.iter().enumerate() {
        let source = prepared.binds.get(index).and_then(Option::as_ref);
        mounts::mount_one(inside, mount, source, cgroup)?;
    }
    if !has_bound_dev(plan) {
        devices::make_devices(inside, &plan.devices, &prepared.devices)?;
        devices::make_links(inside)?;
    }
    let cwd = plan.process.process.cwd();
    match inside.find(cwd) {
        Err(Errno::NOENT) => inside
            .make_directory(cwd, 0o755)
            .map(drop)
            .step("make working directory", cwd),
        _ => Ok(()),
    }
}

/// A /dev of the host is the host's affair.
fn has_bound_dev(plan: &Plan) -> bool {
    use crate::spec::mounts::MountKind;
    plan.mounts
        .iter()
        .any(|mount| mount.destination == Path::new("/dev") && matches!(mount.kind, MountKind::Bind { .. }))
}

/// Read-only paths, masks, and the root's own attributes: after this nothing is mounted any more.
pub fn seal(plan: &Plan, prepared: &Prepared) -> Result<()> {
    let inside = Inside::new(prepared.root.as_fd());
    masks::make_readonly(inside, &plan.readonly)?;
    masks::mask(inside, &plan.masked)?;
    if plan.readonly_root {
        let attr = MountAttr {
            set: u64::from(MOUNT_ATTR_RDONLY),
            ..MountAttr::default()
        };
        change(prepared.root.as_fd(), &attr, Path::new("/"))?;
    }
    Ok(())
}

/// Makes the container's root ours and lets go of the host's.
pub fn enter(plan: &Plan, prepared: &Prepared) -> Result<()> {
    let host = open_directory("/")?;
    fchdir(&prepared.root).step("enter", &plan.rootfs)?;
    pivot_root(".", ".").step("change root to", &plan.rootfs)?;
    fchdir(&host).step("enter", "the old root")?;
    // Unmounting must not travel to the host.
    mount_change(".", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .step("make private", "the old root")?;
    unmount(".", UnmountFlags::DETACH).step("unmount", "the old root")?;
    chdir("/").step("enter", "/")?;
    apply_propagation(plan)
}

/// What the container's root does with mounts made later. Private and slave were set before anything was mounted.
fn apply_propagation(plan: &Plan) -> Result<()> {
    if plan.root_propagation == PRIVATE_TREE {
        return Ok(());
    }
    let root = open_directory("/")?;
    let recursive = !is_shared(plan.root_propagation);
    let attr = MountAttr {
        propagation: plan.root_propagation,
        recursive,
        ..MountAttr::default()
    };
    change(root.as_fd(), &attr, Path::new("/"))
}

fn open_directory(path: &str) -> Result<OwnedFd> {
    open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).step("open", path)
}
