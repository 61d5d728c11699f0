//! The host's side of mounting: what the container will mount is opened here, with the host's permissions and in the
//! host's namespaces, as detached mounts that the new process only has to put in place.

use crate::error::{Error, Result, Step};
use crate::init::file_system::{change, copy_tree};
use crate::init::mounts::{apply_tree_changes, check_proc_bind};
use crate::spec::devices::DevicePlan;
use crate::spec::mount_options::{PRIVATE_TREE, SLAVE_TREE};
use crate::spec::mounts::{IdmapPlan, MountKind, MountPlan};
use crate::spec::validate::Plan;
use crate::userns;
use keelson_sys::mount_attr::MountAttr;
use oci_spec::runtime::LinuxNamespaceType as Kind;
use rustix::fs::{FileType, fstat, makedev};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// A bind mount's tree.
#[derive(Debug)]
pub struct BindSource {
    /// Detached, attributes and ids set.
    pub tree: OwnedFd,
    /// Whether it is mounted on a directory.
    pub is_directory: bool,
}

/// Everything opened.
#[derive(Debug)]
pub struct Prepared {
    /// The root's tree.
    pub root: OwnedFd,
    /// By index of the plan's mounts; `None` for what is no bind mount.
    pub binds: Vec<Option<BindSource>>,
    /// By index of the plan's devices; `None` where the new process makes the node.
    pub devices: Vec<Option<OwnedFd>>,
}

/// Opens everything a plan names.
pub fn prepare(plan: &Plan) -> Result<Prepared> {
    let root = copy_tree(&plan.rootfs, true).step("open root", &plan.rootfs)?;
    if FileType::from_raw_mode(fstat(&root).step("examine root", &plan.rootfs)?.st_mode) != FileType::Directory {
        return Err(Error::spec(
            "root.path",
            format!("{} is not a directory", plan.rootfs.display()),
        ));
    }
    let propagation = if plan.root_propagation == PRIVATE_TREE {
        PRIVATE_TREE
    } else {
        SLAVE_TREE
    };
    let attr = MountAttr {
        propagation,
        recursive: true,
        ..MountAttr::default()
    };
    change(root.as_fd(), &attr, &plan.rootfs)?;
    let binds = plan.mounts.iter().map(prepare_bind).collect::<Result<Vec<_>>>()?;
    let devices = if plan.namespaces.has(Kind::User) {
        plan.devices
            .iter()
            .map(|device| prepare_device(device).map(Some))
            .collect::<Result<Vec<_>>>()?
    } else {
        Vec::new()
    };
    Ok(Prepared { root, binds, devices })
}

fn prepare_bind(mount: &MountPlan) -> Result<Option<BindSource>> {
    let MountKind::Bind { source, recursive } = &mount.kind else {
        return Ok(None);
    };
    let tree = copy_tree(source, *recursive).step("open mount source", source)?;
    check_proc_bind(mount, tree.as_fd())?;
    let is_directory =
        FileType::from_raw_mode(fstat(&tree).step("examine mount source", source)?.st_mode) == FileType::Directory;
    let idmap = mount.idmap.as_ref().map(idmap_namespace).transpose()?;
    let attr = MountAttr {
        set: mount.attr.set,
        clear: mount.attr.clear,
        idmap: None,
        propagation: 0,
        recursive: false,
    };
    change(tree.as_fd(), &attr, source)?;
    if let (Some(plan), Some(namespace)) = (&mount.idmap, &idmap) {
        let attr = MountAttr {
            idmap: Some(namespace.as_fd()),
            recursive: plan.recursive,
            ..MountAttr::default()
        };
        change(tree.as_fd(), &attr, source)?;
    }
    if mount.propagation.is_empty() {
        // The host's later mounts may come in, nothing goes out.
        let attr = MountAttr {
            propagation: SLAVE_TREE,
            recursive: true,
            ..MountAttr::default()
        };
        change(tree.as_fd(), &attr, source)?;
    }
    apply_tree_changes(mount, tree.as_fd())?;
    Ok(Some(BindSource { tree, is_directory }))
}

fn idmap_namespace(plan: &IdmapPlan) -> Result<OwnedFd> {
    userns::make(&plan.uids, &plan.gids)
}

fn prepare_device(device: &DevicePlan) -> Result<OwnedFd> {
    let tree = copy_tree(&device.path, false).step("open device", &device.path)?;
    let stat = fstat(&tree).step("examine device", &device.path)?;
    let same =
        FileType::from_raw_mode(stat.st_mode) == device.kind && stat.st_rdev == makedev(device.major, device.minor);
    if same {
        return Ok(tree);
    }
    // In a user namespace nodes cannot be made, only shown.
    Err(Errno::NODEV).step("find on the host, with these numbers, the device", &device.path)
}
