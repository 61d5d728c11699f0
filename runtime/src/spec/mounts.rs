//! The mounts of a container: the kernel's own file systems, the files the engine makes, then what
//! was asked for. Pure.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, MountBuilder};

use crate::engine::request::{ContainerRequest, DEFAULT_SHM_BYTES, NetworkMode};

/// Where the small init lies in a container that asked for one; the program knows by this name what it is to be.
pub const INIT: &str = "/sbin/docker-init";

/// A mount that was asked for, with its source found on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundMount {
    /// Path inside the container.
    pub target: String,
    /// What to put there.
    pub source: FoundSource,
    /// Mounted read-only.
    pub read_only: bool,
}

/// A source on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundSource {
    /// A directory or file of the host, with everything mounted below it.
    Bind {
        /// Absolute path.
        path: PathBuf,
        /// Propagation; empty is private.
        propagation: String,
    },
    /// Memory, with options of mount(8).
    Tmpfs {
        /// Comma-separated.
        options: String,
    },
}

/// The files the engine makes for a container, on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcFiles {
    /// For `/etc/hosts`.
    pub hosts: PathBuf,
    /// For `/etc/hostname`.
    pub hostname: PathBuf,
    /// For `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
}

/// All mounts, in the order in which they are made.
pub fn plan_mounts(request: &ContainerRequest, files: &EtcFiles, asked: &[FoundMount], init: &Path) -> Vec<Mount> {
    let mut mounts = kernel_mounts(request);
    if request.init {
        mounts.push(mount(
            INIT,
            "bind",
            init,
            &["bind", "ro", "nosuid", "nodev", "rprivate"],
        ));
    }
    let covered = |target: &str| asked.iter().any(|mount| mount.target == target);
    for (target, path) in [
        ("/etc/hosts", &files.hosts),
        ("/etc/hostname", &files.hostname),
        ("/etc/resolv.conf", &files.resolv_conf),
    ] {
        if !covered(target) {
            mounts.push(mount(target, "bind", path.clone(), &["rbind", "rprivate"]));
        }
    }
    mounts.retain(|made| {
        !asked
            .iter()
            .any(|a| made.destination().as_os_str() == a.target.as_str())
    });
    mounts.extend(asked.iter().map(asked_mount));
    mounts
}

fn kernel_mounts(request: &ContainerRequest) -> Vec<Mount> {
    let open = request.security.privileged;
    let sealed = if open { "rw" } else { "ro" };
    let shm = match request.limits.shm {
        0 => DEFAULT_SHM_BYTES,
        bytes => bytes,
    };
    let shm_size = format!("size={shm}");
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        sys_mount(request, sealed),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", sealed],
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ];
    mounts.push(if request.namespaces.ipc {
        mount("/dev/shm", "bind", "/dev/shm", &["rbind", "rprivate"])
    } else {
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", &shm_size],
        )
    });
    mounts
}

/// sysfs shows the network namespace it was mounted in; with the host's network the host's own is
/// bound, as a new instance may not be made there.
fn sys_mount(request: &ContainerRequest, sealed: &str) -> Mount {
    let options = ["nosuid", "noexec", "nodev", sealed];
    if request.network.mode == NetworkMode::Host {
        let bind = ["rbind", "rprivate", "nosuid", "noexec", "nodev", sealed];
        return mount("/sys", "bind", "/sys", &bind);
    }
    mount("/sys", "sysfs", "sysfs", &options)
}

fn asked_mount(asked: &FoundMount) -> Mount {
    let access = if asked.read_only { "ro" } else { "rw" };
    match &asked.source {
        FoundSource::Bind { path, propagation } => {
            let propagation = if propagation.is_empty() {
                "rprivate"
            } else {
                propagation
            };
            // `rro` reaches the mounts below as well, as Docker does since API 1.44.
            let access = if asked.read_only { "rro" } else { access };
            mount(&asked.target, "bind", path.clone(), &["rbind", propagation, access])
        }
        FoundSource::Tmpfs { options } => {
            let mut all = vec!["noexec", "nosuid", "nodev"];
            for option in options.split(',').filter(|o| !o.is_empty()) {
                all.retain(|have| have.strip_prefix("no") != Some(option));
                all.push(option);
            }
            all.push(access);
            mount(&asked.target, "tmpfs", "tmpfs", &all)
        }
    }
}

fn mount(target: &str, kind: &str, source: impl Into<PathBuf>, options: &[&str]) -> Mount {
    let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
    MountBuilder::default()
        .destination(target)
        .typ(kind)
        .source(source)
        .options(options)
        .build()
        .unwrap_or_default()
}
