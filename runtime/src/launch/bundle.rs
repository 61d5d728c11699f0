//! Makes everything a container's run needs before its shim is started: root, volumes, network,
//! files, and the bundle with `config.json` and `shim.json`. Blocking.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use keelson_shim_api::{LogConfig, ShimConfig, config::CONFIG_FILE};
use oci_spec::runtime::Spec;

use super::disk::{self, DiskError};
use super::mounts::{MountSourceError, find_mounts};
use super::{World, bus, cgroup};
use crate::engine::record::ContainerRecord;
use crate::engine::request::NetworkMode;
use crate::image::{ImageId, MountError};
use crate::net::apply::NetError;
use crate::spec::capability::{UnknownCapability, decide_capabilities};
use crate::spec::device::{DeviceError, find_all_devices, find_devices, plan_devices};
use crate::spec::etc::{hostname_text, hosts_text, resolv_text};
use crate::spec::mounts::EtcFiles;
use crate::spec::rootfs::Rootfs;
use crate::spec::seccomp::decide_filter;
use crate::spec::user::{Identity, UserError, resolve_user};
use crate::spec::{SpecError, SpecInput, build};

/// Why a run could not be prepared. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The record names no image.
    #[error("the container's image id {0:?} is no digest")]
    ImageId(String),
    /// The root cannot be mounted.
    #[error("cannot mount the container's root")]
    Mount(#[from] MountError),
    /// A limit of disk cannot be kept.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A mount has no source.
    #[error(transparent)]
    Source(#[from] MountSourceError),
    /// There is no such user.
    #[error(transparent)]
    User(#[from] UserError),
    /// A capability is unknown.
    #[error(transparent)]
    Capability(#[from] UnknownCapability),
    /// A device is missing.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The network cannot be joined.
    #[error("cannot set up the container's network")]
    Network(#[from] NetError),
    /// The spec cannot be built.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A secret of the environment has no value.
    #[error("secret {name} has no value")]
    Secret {
        /// Its name.
        name: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A configuration cannot be written as JSON.
    #[error("cannot encode the bundle")]
    Encode(#[from] serde_json::Error),
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PrepareError {
    move |source| PrepareError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Prepares a run and returns its bundle.
///
/// # Errors
/// The first step that failed; what was done before is undone.
pub fn prepare(world: &World, record: &ContainerRecord) -> Result<PathBuf, PrepareError> {
    // What a run that was cut short left is in the way, and its exit record would be taken for ours.
    let bundle = world.bundle(&record.id);
    if bundle.join("config.json").exists() {
        world.clear_run(record);
    }
    super::remove_tree(&bundle).map_err(failed("clear", &bundle))?;
    fs::create_dir_all(&bundle).map_err(failed("make", &bundle))?;
    let done = fill(world, record, &bundle);
    if done.is_err() {
        world.clear_run(record);
    }
    done.map(|()| bundle)
}

fn fill(world: &World, record: &ContainerRecord, bundle: &Path) -> Result<(), PrepareError> {
    let id = &record.id;
    cgroup::prepare(&world.cgroups, id).map_err(failed("make cgroups below", &world.cgroups))?;
    let image: ImageId = record
        .image_id
        .parse()
        .map_err(|_| PrepareError::ImageId(record.image_id.clone()))?;
    let layer = world.layer(id);
    // Before the layer's directories are made: what is made inside inherits the project.
    disk::bound(&world.container_directory(id), id, record.request.limits.disk)?;
    world.mounts.mount_container(&image, &layer)?;
    let rootfs = Rootfs::open(&layer.target).map_err(failed("open", &layer.target))?;
    let mut groups = record.request.security.groups.clone();
    groups.extend(bus::group(record));
    let identity = find_identity(&record.resolved.user, &groups, &rootfs)?;
    make_workdir(record, &rootfs)?;
    let mut mounts = find_mounts(world, record, &rootfs)?;
    mounts.extend(bus::grant(world, record)?);
    let files = write_etc(world, record)?;
    let security = &record.request.security;
    let nodes = if security.privileged {
        find_all_devices()
    } else {
        find_devices(&security.devices)?
    };
    let netns = match record.request.network.mode {
        NetworkMode::Host => None,
        _ => Some(world.network.attach(id, record.endpoint.as_ref())?),
    };
    let capabilities = decide_capabilities(security)?;
    let spec = build(SpecInput {
        record,
        rootfs: &layer.target,
        identity: &identity,
        capabilities: &capabilities,
        secret_env: &read_secrets(world, record)?,
        mounts: &mounts,
        files: &files,
        devices: plan_devices(security.privileged, &nodes),
        netns: netns.as_deref(),
        cgroup: &cgroup::payload(id),
        can_bound_pids: cgroup::has_controller(&world.cgroups, "pids"),
        init: &world.shim,
        seccomp: decide_filter(security, &capabilities).map_err(SpecError::from)?,
    })?;
    write_bundle(world, record, bundle, &spec)
}

/// A user by the container's own files.
pub(super) fn find_identity(user: &str, groups: &[String], rootfs: &Rootfs) -> Result<Identity, PrepareError> {
    let read = |path: &str| rootfs.read_text(path).map_err(failed("read", Path::new(path)));
    let (passwd, group) = (read("/etc/passwd")?, read("/etc/group")?);
    Ok(resolve_user(user, groups, &passwd, &group)?)
}

/// Docker makes the working directory; it may also lie in a mount, which is not there yet.
fn make_workdir(record: &ContainerRecord, rootfs: &Rootfs) -> Result<(), PrepareError> {
    let workdir = &record.resolved.workdir;
    rootfs
        .make_directory(workdir)
        .map_err(failed("make working directory", Path::new(workdir)))
}

fn write_etc(world: &World, record: &ContainerRecord) -> Result<EtcFiles, PrepareError> {
    let directory = world.bundle(&record.id).join("etc");
    fs::create_dir_all(&directory).map_err(failed("make", &directory))?;
    let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let gateway = world.gateway();
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        fs::write(&path, text).map_err(failed("write", &path)).map(|()| path)
    };
    Ok(EtcFiles {
        hosts: write("hosts", hosts_text(record, record.endpoint.as_ref(), gateway))?,
        hostname: write("hostname", hostname_text(record))?,
        resolv_conf: write("resolv.conf", resolv_text(record, gateway, &host))?,
    })
}

/// `KEY=value` of each secret variable.
fn read_secrets(world: &World, record: &ContainerRecord) -> Result<Vec<String>, PrepareError> {
    let secrets = &record.request.process.secret_env;
    secrets
        .iter()
        .map(|(key, name)| {
            let value = fs::read_to_string(world.secrets.join(name)).map_err(|source| PrepareError::Secret {
                name: name.clone(),
                source,
            })?;
            Ok(format!("{key}={value}"))
        })
        .collect()
}

fn write_bundle(world: &World, record: &ContainerRecord, bundle: &Path, spec: &Spec) -> Result<(), PrepareError> {
    let id = &record.id;
    let log = LogConfig {
        journal: world.journal.clone(),
        file: Some(world.log_file(id)),
        ..LogConfig::default()
    };
    let shim = ShimConfig {
        id: id.as_str().to_owned(),
        name: record.name.clone(),
        image: record.request.image.clone(),
        tag: String::new(),
        runtime_root: world.runtime_root(),
        socket: world.shim_socket(id),
        exit_file: world.exit_file(id),
        shim_cgroup: Some(cgroup::shim(&world.cgroups, id)),
        open_stdin: record.request.process.open_stdin,
        log,
    };
    fs::create_dir_all(&shim.runtime_root).map_err(failed("make", &shim.runtime_root))?;
    for (name, bytes) in [
        ("config.json", serde_json::to_vec(spec)?),
        (CONFIG_FILE, serde_json::to_vec(&shim)?),
    ] {
        let path = bundle.join(name);
        write_private(&path, &bytes).map_err(failed("write", &path))?;
    }
    Ok(())
}

/// The environment may hold secrets.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(bytes)
}
