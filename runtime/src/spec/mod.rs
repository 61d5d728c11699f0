//! A container's record → its OCI runtime spec. [`build`] is pure: what has to be looked up on the
//! host or in the image's root comes in with [`SpecInput`]. It never touches a file.

pub mod capability;
pub mod device;
pub mod etc;
pub mod exec;
pub mod merge;
pub mod mounts;
pub mod resources;
pub mod rootfs;
pub mod seccomp;
pub mod user;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    BoxBuilder, Capability, Linux, LinuxBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType,
    LinuxSeccomp, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};

use crate::engine::record::ContainerRecord;
use crate::engine::request::NetworkMode;
use device::DevicePlan;
use mounts::{EtcFiles, FoundMount, plan_mounts};
use user::Identity;

/// Everything the spec of one container follows from.
#[derive(Debug)]
pub struct SpecInput<'a> {
    /// The container.
    pub record: &'a ContainerRecord,
    /// Its root, mounted.
    pub rootfs: &'a Path,
    /// Who its process is.
    pub identity: &'a Identity,
    /// Its capabilities.
    pub capabilities: &'a [Capability],
    /// `KEY=value` of variables whose values are secrets.
    pub secret_env: &'a [String],
    /// Mounts that were asked for.
    pub mounts: &'a [FoundMount],
    /// Files of `/etc` the engine made.
    pub files: &'a EtcFiles,
    /// Its devices.
    pub devices: DevicePlan,
    /// Its network namespace; `None` shares the host's.
    pub netns: Option<&'a Path>,
    /// Its cgroup, from the root of the tree.
    pub cgroup: &'a Path,
    /// Whether the kernel can bound the number of processes.
    pub can_bound_pids: bool,
    /// The program that can play process 1, on the host.
    pub init: &'a Path,
    /// The system call filter; `None` runs without.
    pub seccomp: Option<LinuxSeccomp>,
}

/// A spec that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The parts do not make a spec.
    #[error("cannot build the runtime specification")]
    Build {
        /// Why.
        #[source]
        source: OciSpecError,
    },
    /// A limit is unknown.
    #[error(transparent)]
    Ulimit(#[from] resources::UnknownUlimit),
}

impl From<OciSpecError> for SpecError {
    fn from(source: OciSpecError) -> Self {
        SpecError::Build { source }
    }
}

/// Builds the spec.
///
/// # Errors
/// A limit is unknown, or the types refuse the parts.
pub fn build(input: SpecInput<'_>) -> Result<Spec, SpecError> {
    let request = &input.record.request;
    let root = RootBuilder::default()
        .path(input.rootfs)
        .readonly(request.security.read_only)
        .build()?;
    let annotations: HashMap<String, String> = request.annotations.clone().into_iter().collect();
    let mut builder = SpecBuilder::default()
        .version("1.2.0")
        .root(root)
        .process(build_process(&input)?)
        .mounts(plan_mounts(request, input.files, input.mounts, input.init))
        .annotations(annotations);
    if !request.namespaces.uts {
        builder = builder.hostname(input.record.resolved.hostname.clone());
        if !request.domainname.is_empty() {
            builder = builder.domainname(request.domainname.clone());
        }
    }
    Ok(builder.linux(build_linux(input)?).build()?)
}

fn build_process(input: &SpecInput<'_>) -> Result<Process, SpecError> {
    let (request, resolved) = (&input.record.request, &input.record.resolved);
    let user = UserBuilder::default()
        .uid(input.identity.uid)
        .gid(input.identity.gid)
        .additional_gids(input.identity.groups.clone())
        .build()?;
    let process = ProcessBuilder::default()
        .terminal(request.process.tty)
        .user(user)
        .args(process_args(request.init, resolved.args()))
        .env(process_env(input))
        .cwd(PathBuf::from(&resolved.workdir))
        .capabilities(capability::process_capabilities(input.capabilities, input.identity.uid))
        .rlimits(resources::plan_rlimits(&request.limits.ulimits)?)
        .no_new_privileges(request.security.no_new_privileges)
        .oom_score_adj(request.limits.oom_score_adj);
    let size = request.process.console_size.filter(|_| request.process.tty);
    let process = match size {
        Some([rows, columns]) => process.console_size(BoxBuilder::default().height(rows).width(columns).build()?),
        None => process,
    };
    Ok(process.build()?)
}

/// The command line, behind the small init if one was asked for.
fn process_args(init: bool, args: Vec<String>) -> Vec<String> {
    if !init {
        return args;
    }
    let own = [mounts::INIT.to_owned(), "--".to_owned()];
    own.into_iter().chain(args).collect()
}

/// What every process finds beside its own variables.
fn process_env(input: &SpecInput<'_>) -> Vec<String> {
    let resolved = &input.record.resolved;
    let has = |key: &str| resolved.env.iter().any(|entry| entry.split('=').next() == Some(key));
    let mut env = resolved.env.clone();
    let mut add = |key: &str, value: &str| {
        if !has(key) {
            env.push(format!("{key}={value}"));
        }
    };
    add("HOSTNAME", &resolved.hostname);
    if input.record.request.process.tty {
        add("TERM", "xterm");
    }
    add("HOME", &input.identity.home);
    env.extend(input.secret_env.iter().cloned());
    env
}

fn build_linux(input: SpecInput<'_>) -> Result<Linux, SpecError> {
    let request = &input.record.request;
    let security = &request.security;
    let masked = !security.privileged && !security.unmask;
    let paths = |list: &[&str]| -> Vec<String> {
        if masked {
            list.iter().map(|path| (*path).to_owned()).collect()
        } else {
            vec![]
        }
    };
    let mut sysctl: HashMap<String, String> = request.sysctls.clone().into_iter().collect();
    if request.network.mode != NetworkMode::Host {
        // As others do: ports below 1024 and ping need no right of their own in here.
        sysctl
            .entry("net.ipv4.ip_unprivileged_port_start".into())
            .or_insert_with(|| "0".into());
        let ping = || "0 2147483647".to_owned();
        sysctl.entry("net.ipv4.ping_group_range".into()).or_insert_with(ping);
    }
    let resources = resources::plan_resources(&request.limits, input.devices.rules, input.can_bound_pids);
    let mut builder = LinuxBuilder::default()
        .sysctl(sysctl)
        .resources(resources)
        .cgroups_path(input.cgroup)
        .namespaces(plan_namespaces(input.record, input.netns)?)
        .devices(input.devices.nodes)
        .rootfs_propagation("rprivate")
        .masked_paths(paths(&MASKED))
        .readonly_paths(paths(&READ_ONLY));
    if let Some(filter) = input.seccomp {
        builder = builder.seccomp(filter);
    }
    Ok(builder.build()?)
}

/// A namespace of its own for everything that is not shared with the host.
fn plan_namespaces(record: &ContainerRecord, netns: Option<&Path>) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    let shared = record.request.namespaces;
    let own = [
        (LinuxNamespaceType::Mount, true),
        (LinuxNamespaceType::Uts, !shared.uts),
        (LinuxNamespaceType::Ipc, !shared.ipc),
        (LinuxNamespaceType::Pid, !shared.pid),
        (LinuxNamespaceType::Cgroup, !shared.cgroup),
    ];
    let mut namespaces = vec![];
    for (kind, _) in own.into_iter().filter(|(_, own)| *own) {
        namespaces.push(LinuxNamespaceBuilder::default().typ(kind).build()?);
    }
    if let Some(path) = netns {
        let builder = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Network);
        namespaces.push(builder.path(path).build()?);
    }
    Ok(namespaces)
}

/// Paths that say too much, or do.
pub const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Paths that may be read only.
pub const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

#[cfg(test)]
#[path = "golden_test.rs"]
mod tests;
