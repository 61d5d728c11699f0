//! The whole specification, checked, as a [`Plan`]: what is wrong with it is said before anything is made.

use crate::cgroup::devices::{self, DeviceRule};
use crate::cgroup::files::{self, CgroupFile};
use crate::error::{Error, Result};
use crate::seccomp::{self, Filter};
use crate::spec::capabilities::{CapabilitySets, plan_capabilities};
use crate::spec::devices::{DevicePlan, plan_devices};
use crate::spec::mount_options::{PRIVATE_TREE, parse_propagation};
use crate::spec::mounts::{MountPlan, clean, plan_mounts};
use crate::spec::namespaces::{NamespacePlan, plan_namespaces};
use crate::spec::rlimits::{Limit, plan_rlimits};
use crate::spec::sysctl::plan_sysctls;
use oci_spec::runtime::{
    Linux, LinuxIdMapping, LinuxNamespaceType as Kind, LinuxPersonalityDomain, LinuxResources, Process, Spec,
};
use std::path::{Path, PathBuf};

/// A specification checked and sorted into steps.
#[derive(Debug)]
pub struct Plan {
    /// The document.
    pub spec: Spec,
    /// Its directory, canonical.
    pub bundle: PathBuf,
    /// The root file system's directory.
    pub rootfs: PathBuf,
    /// Mount the root read-only at the end.
    pub readonly_root: bool,
    /// Propagation of the root's mount tree.
    pub root_propagation: u64,
    /// Namespaces.
    pub namespaces: NamespacePlan,
    /// Users of a new user namespace.
    pub uid_mappings: Vec<LinuxIdMapping>,
    /// Groups of a new user namespace.
    pub gid_mappings: Vec<LinuxIdMapping>,
    /// Mounts in order.
    pub mounts: Vec<MountPlan>,
    /// Device nodes.
    pub devices: Vec<DevicePlan>,
    /// Paths hidden.
    pub masked: Vec<PathBuf>,
    /// Paths made read-only.
    pub readonly: Vec<PathBuf>,
    /// Offsets of a new time namespace: clock name, seconds, nanoseconds.
    pub time_offsets: Vec<(String, i64, u32)>,
    /// Kernel settings: path below /proc/sys, value.
    pub sysctls: Vec<(String, String)>,
    /// Path below the cgroup root, without a leading slash; `None`: the runtime chooses.
    pub cgroup: Option<PathBuf>,
    /// Limits to write.
    pub cgroup_files: Vec<CgroupFile>,
    /// Which devices may be used.
    pub device_rules: Vec<DeviceRule>,
    /// Execution domain.
    pub personality: Option<u32>,
    /// The first process.
    pub process: ProcessPlan,
}

/// A process checked.
#[derive(Debug)]
pub struct ProcessPlan {
    /// The document.
    pub process: Process,
    /// Program and arguments, not empty.
    pub args: Vec<String>,
    /// Limits.
    pub rlimits: Vec<Limit>,
    /// Capabilities.
    pub capabilities: CapabilitySets,
    /// System call filter.
    pub filter: Option<Filter>,
}

/// Checks and sorts a specification.
pub fn plan(spec: Spec, bundle: &Path) -> Result<Plan> {
    check_version(spec.version())?;
    let linux = spec.linux().clone().ok_or_else(|| Error::spec("linux", "is missing"))?;
    let root = spec.root().clone().ok_or_else(|| Error::spec("root", "is missing"))?;
    refuse_unsupported(&linux)?;
    let namespaces = plan_namespaces(linux.namespaces().as_deref().unwrap_or_default())?;
    let (uid_mappings, gid_mappings) = plan_id_mappings(&linux, &namespaces)?;
    let ids = namespaces
        .is_new(Kind::User)
        .then_some((uid_mappings.as_slice(), gid_mappings.as_slice()));
    let mounts = plan_mounts(spec.mounts().as_deref().unwrap_or_default(), bundle, ids)?;
    check_names(&spec, &namespaces)?;
    let sysctls = match linux.sysctl() {
        Some(settings) => plan_sysctls(settings, &namespaces)?,
        None => Vec::new(),
    };
    let process = spec
        .process()
        .clone()
        .ok_or_else(|| Error::spec("process", "is missing"))?;
    let process = plan_process(process, &spec)?;
    let resources = linux.resources().clone().unwrap_or_else(no_resources);
    Ok(Plan {
        rootfs: bundle.join(root.path()),
        readonly_root: root.readonly().unwrap_or(false),
        root_propagation: plan_root_propagation(&linux)?,
        devices: plan_devices(linux.devices().as_deref().unwrap_or_default())?,
        masked: plan_paths("linux.maskedPaths", linux.masked_paths().as_deref())?,
        readonly: plan_paths("linux.readonlyPaths", linux.readonly_paths().as_deref())?,
        time_offsets: plan_time_offsets(&linux, &namespaces)?,
        namespaces,
        uid_mappings,
        gid_mappings,
        mounts,
        sysctls,
        cgroup: plan_cgroup_path(linux.cgroups_path().as_deref())?,
        cgroup_files: files::plan_files(&resources)?,
        device_rules: devices::plan_rules(resources.devices().as_deref().unwrap_or_default())?,
        personality: linux
            .personality()
            .as_ref()
            .map(|personality| match personality.domain() {
                LinuxPersonalityDomain::PerLinux => 0,
                LinuxPersonalityDomain::PerLinux32 => 8,
            }),
        process,
        bundle: bundle.to_owned(),
        spec,
    })
}

fn no_resources() -> LinuxResources {
    LinuxResources::default()
}

/// Annotation that asks for the default system call profile, `default`, where `linux.seccomp` is absent. The profile
/// depends on the process's capabilities, so a caller need not write it out.
pub const SECCOMP_ANNOTATION: &str = "org.keelson.seccomp";

/// Checks one process against its container's specification; also for `exec`.
pub fn plan_process(process: Process, spec: &Spec) -> Result<ProcessPlan> {
    let args = process.args().clone().unwrap_or_default();
    if args.first().is_none_or(String::is_empty) {
        return Err(Error::spec("process.args", "names no program"));
    }
    if !process.cwd().is_absolute() {
        return Err(Error::spec("process.cwd", "is not an absolute path"));
    }
    let texts = args.iter().chain(process.env().iter().flatten());
    if let Some(bad) = texts.into_iter().find(|text| text.contains('\0')) {
        return Err(Error::spec("process", format!("{bad:?} contains a NUL")));
    }
    if let Some(bad) = process
        .env()
        .iter()
        .flatten()
        .find(|entry| entry.find('=').unwrap_or(0) == 0)
    {
        return Err(Error::spec("process.env", format!("{bad:?} is not NAME=VALUE")));
    }
    for (member, value) in [
        ("process.apparmorProfile", process.apparmor_profile().as_deref()),
        ("process.selinuxLabel", process.selinux_label().as_deref()),
    ] {
        if value.is_some_and(|value| !value.is_empty() && value != "unconfined") {
            return Err(Error::spec(
                member,
                "is not supported: this kernel has no such security module for containers",
            ));
        }
    }
    if let Some(score) = process.oom_score_adj().filter(|score| !(-1000..=1000).contains(score)) {
        return Err(Error::spec(
            "process.oomScoreAdj",
            format!("{score} is not in -1000..1000"),
        ));
    }
    let rlimits = plan_rlimits(process.rlimits().as_deref().unwrap_or_default())?;
    let capabilities = plan_capabilities(process.capabilities().as_ref(), u64::MAX);
    let filter = plan_filter(spec, capabilities)?;
    Ok(ProcessPlan {
        process,
        args,
        rlimits,
        capabilities,
        filter,
    })
}

fn plan_filter(spec: &Spec, capabilities: CapabilitySets) -> Result<Option<Filter>> {
    let given = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let word = spec
        .annotations()
        .as_ref()
        .and_then(|annotations| annotations.get(SECCOMP_ANNOTATION));
    match (given, word.map(String::as_str)) {
        (Some(given), _) => seccomp::compile(given).map(Some),
        (None, None | Some("unconfined")) => Ok(None),
        (None, Some("default")) => seccomp::default_filter(capabilities.bounding).map(Some),
        (None, Some(other)) => Err(Error::spec(
            format!("annotations.{SECCOMP_ANNOTATION}"),
            format!("{other} is not default or unconfined"),
        )),
    }
}

fn check_version(version: &str) -> Result<()> {
    let number = version.split(['-', '+']).next().unwrap_or_default();
    let mut parts = number.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Ok(1)), Some(Ok(_)), Some(Ok(_)), None) => Ok(()),
        _ => Err(Error::spec("ociVersion", format!("{version} is not a 1.x version"))),
    }
}

fn refuse_unsupported(linux: &Linux) -> Result<()> {
    if linux.intel_rdt().is_some() {
        return Err(Error::spec("linux.intelRdt", "is not supported"));
    }
    if linux.mount_label().as_deref().is_some_and(|label| !label.is_empty()) {
        return Err(Error::spec("linux.mountLabel", "is not supported: there is no SELinux"));
    }
    if linux.memory_policy().is_some() {
        return Err(Error::spec("linux.memoryPolicy", "is not supported"));
    }
    if linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty()) {
        return Err(Error::spec(
            "linux.netDevices",
            "is not supported: the engine moves network devices",
        ));
    }
    Ok(())
}

fn plan_id_mappings(linux: &Linux, namespaces: &NamespacePlan) -> Result<(Vec<LinuxIdMapping>, Vec<LinuxIdMapping>)> {
    let uids = linux.uid_mappings().clone().unwrap_or_default();
    let gids = linux.gid_mappings().clone().unwrap_or_default();
    let given = !uids.is_empty() || !gids.is_empty();
    if namespaces.is_new(Kind::User) && (uids.is_empty() || gids.is_empty()) {
        return Err(Error::spec(
            "linux.uidMappings",
            "a new user namespace needs uidMappings and gidMappings",
        ));
    }
    if given && !namespaces.has(Kind::User) {
        return Err(Error::spec(
            "linux.uidMappings",
            "without a user namespace ids cannot be mapped",
        ));
    }
    Ok((uids, gids))
}

fn check_names(spec: &Spec, namespaces: &NamespacePlan) -> Result<()> {
    for (member, value) in [("hostname", spec.hostname()), ("domainname", spec.domainname())] {
        let Some(value) = value.as_deref().filter(|value| !value.is_empty()) else {
            continue;
        };
        if !namespaces.has(Kind::Uts) {
            return Err(Error::spec(
                member,
                "without a uts namespace it would change the host's",
            ));
        }
        if value.len() > 64 {
            return Err(Error::spec(member, "is longer than 64 bytes"));
        }
    }
    Ok(())
}

fn plan_root_propagation(linux: &Linux) -> Result<u64> {
    match linux.rootfs_propagation().as_deref() {
        None | Some("") => Ok(PRIVATE_TREE),
        Some(word) => parse_propagation(word).ok_or_else(|| {
            Error::spec(
                "linux.rootfsPropagation",
                format!("{word} is not shared, slave, private or unbindable"),
            )
        }),
    }
}

fn plan_paths(member: &str, paths: Option<&[String]>) -> Result<Vec<PathBuf>> {
    paths
        .unwrap_or_default()
        .iter()
        .map(|path| {
            let absolute = Some(Path::new(path)).filter(|path| path.is_absolute());
            absolute
                .and_then(clean)
                .ok_or_else(|| Error::spec(member, format!("{path} is not an absolute path below the root")))
        })
        .collect()
}

fn plan_time_offsets(linux: &Linux, namespaces: &NamespacePlan) -> Result<Vec<(String, i64, u32)>> {
    let Some(offsets) = linux.time_offsets() else {
        return Ok(Vec::new());
    };
    if !offsets.is_empty() && !namespaces.is_new(Kind::Time) {
        return Err(Error::spec("linux.timeOffsets", "needs a new time namespace"));
    }
    let mut planned = Vec::new();
    for (clock, offset) in offsets {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(Error::spec(
                "linux.timeOffsets",
                format!("{clock} is not monotonic or boottime"),
            ));
        }
        planned.push((
            clock.clone(),
            offset.secs().unwrap_or(0),
            offset.nanosecs().unwrap_or(0),
        ));
    }
    planned.sort();
    Ok(planned)
}

fn plan_cgroup_path(path: Option<&Path>) -> Result<Option<PathBuf>> {
    let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(None);
    };
    let text = path.to_string_lossy();
    if text.matches(':').count() == 2 && !text.contains('/') {
        return Err(Error::spec(
            "linux.cgroupsPath",
            "is in systemd's slice:prefix:name form; a path is needed",
        ));
    }
    let cleaned = clean(path).ok_or_else(|| Error::spec("linux.cgroupsPath", "is the root"))?;
    Ok(cleaned.strip_prefix("/").ok().map(Path::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_json(change: impl FnOnce(&mut serde_json::Value)) -> Result<Plan> {
        let mut value = serde_json::json!({
            "ociVersion": "1.2.0",
            "root": {"path": "rootfs"},
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/", "env": ["A=b"]},
            "linux": {"namespaces": [{"type": "mount"}]},
        });
        change(&mut value);
        plan(serde_json::from_value(value).unwrap(), Path::new("/bundle"))
    }

    #[test]
    fn a_small_specification() {
        let plan = plan_json(|_| {}).unwrap();
        assert_eq!(plan.rootfs, Path::new("/bundle/rootfs"));
        assert!(plan.cgroup.is_none() && !plan.readonly_root);
    }

    #[test]
    fn mistakes_name_their_member() {
        type Change = fn(&mut serde_json::Value);
        let cases: [(&str, Change); 12] = [
            ("ociVersion", |v| v["ociVersion"] = "2.0.0".into()),
            ("process.args", |v| v["process"]["args"] = serde_json::json!([])),
            ("process.cwd", |v| v["process"]["cwd"] = "x".into()),
            ("process.env", |v| v["process"]["env"] = serde_json::json!(["novalue"])),
            ("process.oomScoreAdj", |v| v["process"]["oomScoreAdj"] = 2000.into()),
            ("process.apparmorProfile", |v| {
                v["process"]["apparmorProfile"] = "docker-default".into()
            }),
            ("linux.intelRdt", |v| v["linux"]["intelRdt"] = serde_json::json!({})),
            ("linux.rootfsPropagation", |v| {
                v["linux"]["rootfsPropagation"] = "loud".into()
            }),
            ("linux.cgroupsPath", |v| {
                v["linux"]["cgroupsPath"] = "system.slice:docker:x".into()
            }),
            ("hostname", |v| v["hostname"] = "x".into()),
            ("linux.uidMappings", |v| {
                v["linux"]["namespaces"] = serde_json::json!([{"type":"mount"},{"type":"user"}])
            }),
            ("linux.sysctl.vm.swappiness", |v| {
                v["linux"]["sysctl"] = serde_json::json!({"vm.swappiness": "1"})
            }),
        ];
        for (member, change) in cases {
            let error = plan_json(change).unwrap_err().to_string();
            assert!(error.contains(member), "{member}: {error}");
        }
    }

    #[test]
    fn cgroup_paths_stay_below_the_root() {
        for (given, expected) in [("/a/b", "a/b"), ("../../x", "x"), ("a//b/", "a/b")] {
            assert_eq!(
                plan_cgroup_path(Some(Path::new(given))).unwrap().unwrap(),
                Path::new(expected)
            );
        }
        assert!(plan_cgroup_path(Some(Path::new("/"))).is_err());
    }
}
