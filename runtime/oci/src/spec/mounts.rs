//! Mounts of the specification as steps: what is mounted, from where, with which attributes. Decides, mounts nothing.

use crate::error::{Error, Result};
use crate::spec::mount_options::{AttrChange, Idmap, MountOptions, parse_mount_options};
use oci_spec::runtime::{LinuxIdMapping, Mount};
use std::path::{Component, Path, PathBuf};

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// A directory or file of the host.
    Bind {
        /// On the host; relative ones have been joined to the bundle.
        source: PathBuf,
        /// With the mounts below it.
        recursive: bool,
    },
    /// The container's view of the cgroup tree.
    Cgroup,
    /// A new file system.
    FileSystem {
        /// Its type.
        fstype: String,
        /// What /proc/mounts shows as its source.
        source: String,
        /// Its parameters.
        data: Vec<(String, Option<String>)>,
    },
}

/// Ids of an idmapped mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdmapPlan {
    /// Users.
    pub uids: Vec<LinuxIdMapping>,
    /// Groups.
    pub gids: Vec<LinuxIdMapping>,
    /// The whole tree.
    pub recursive: bool,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPlan {
    /// In the container: absolute, no `.` or `..`.
    pub destination: PathBuf,
    /// What.
    pub kind: MountKind,
    /// Attributes of this mount.
    pub attr: AttrChange,
    /// Attributes of the whole tree.
    pub tree_attr: AttrChange,
    /// Propagation changes in order: flag, whole tree.
    pub propagation: Vec<(u64, bool)>,
    /// Copy the target's files into it first.
    pub copy_up: bool,
    /// Map ids.
    pub idmap: Option<IdmapPlan>,
}

/// Reads `mounts`. `container_ids` are the container's own mappings, used by `idmap` without mappings.
pub fn plan_mounts(
    mounts: &[Mount],
    bundle: &Path,
    container_ids: Option<(&[LinuxIdMapping], &[LinuxIdMapping])>,
) -> Result<Vec<MountPlan>> {
    mounts
        .iter()
        .enumerate()
        .map(|(index, mount)| plan_mount(index, mount, bundle, container_ids))
        .collect()
}

fn plan_mount(
    index: usize,
    mount: &Mount,
    bundle: &Path,
    container_ids: Option<(&[LinuxIdMapping], &[LinuxIdMapping])>,
) -> Result<MountPlan> {
    let member = format!("mounts[{index}]");
    let destination = clean(mount.destination())
        .ok_or_else(|| Error::spec(format!("{member}.destination"), "is not a path below the root"))?;
    let options = parse_mount_options(mount.options().as_deref().unwrap_or_default());
    let idmap = plan_idmap(&member, mount, &options, container_ids)?;
    let kind = plan_kind(&member, mount, &options, bundle)?;
    if idmap.is_some() && !matches!(kind, MountKind::Bind { .. }) {
        return Err(Error::spec(member, "only a bind mount can be idmapped"));
    }
    if !options.data.is_empty() && matches!(kind, MountKind::Bind { .. } | MountKind::Cgroup) {
        let names: Vec<_> = options.data.iter().map(|(key, _)| key.as_str()).collect();
        if matches!(kind, MountKind::Bind { .. }) {
            return Err(Error::spec(
                format!("{member}.options"),
                format!("unknown for a bind mount: {}", names.join(", ")),
            ));
        }
    }
    check_proc(&member, &destination, &kind)?;
    Ok(MountPlan {
        destination,
        kind,
        attr: options.attr,
        tree_attr: options.tree_attr,
        propagation: options.propagation,
        copy_up: options.copy_up,
        idmap,
    })
}

fn plan_kind(member: &str, mount: &Mount, options: &MountOptions, bundle: &Path) -> Result<MountKind> {
    let fstype = mount.typ().as_deref().unwrap_or_default();
    if options.bind || fstype == "bind" {
        let source = mount
            .source()
            .as_deref()
            .filter(|source| !source.as_os_str().is_empty());
        let source = source.ok_or_else(|| Error::spec(format!("{member}.source"), "a bind mount needs one"))?;
        return Ok(MountKind::Bind {
            source: bundle.join(source),
            recursive: options.recursive_bind,
        });
    }
    match fstype {
        "" | "none" => Err(Error::spec(
            format!("{member}.type"),
            "is missing, and no option says bind or rbind",
        )),
        "cgroup" | "cgroup2" => Ok(MountKind::Cgroup),
        other if other.contains('/') || other.contains('\0') => Err(Error::spec(
            format!("{member}.type"),
            format!("{other} is no file system's name"),
        )),
        other => Ok(MountKind::FileSystem {
            fstype: other.to_owned(),
            source: mount
                .source()
                .as_deref()
                .unwrap_or(Path::new(other))
                .to_string_lossy()
                .into_owned(),
            data: options.data.clone(),
        }),
    }
}

fn plan_idmap(
    member: &str,
    mount: &Mount,
    options: &MountOptions,
    container_ids: Option<(&[LinuxIdMapping], &[LinuxIdMapping])>,
) -> Result<Option<IdmapPlan>> {
    let uids = mount.uid_mappings().as_deref().unwrap_or_default();
    let gids = mount.gid_mappings().as_deref().unwrap_or_default();
    let (uids, gids) = match (uids.is_empty(), gids.is_empty(), options.idmap) {
        (true, true, Idmap::No) => return Ok(None),
        (true, true, _) => container_ids.ok_or_else(|| {
            Error::spec(
                member,
                "idmap needs mappings: the container has no user namespace of its own",
            )
        })?,
        (false, false, _) => (uids, gids),
        _ => return Err(Error::spec(member, "uidMappings and gidMappings come together")),
    };
    Ok(Some(IdmapPlan {
        uids: uids.to_vec(),
        gids: gids.to_vec(),
        recursive: options.idmap == Idmap::Tree,
    }))
}

/// The same path without `.`, `..` and double slashes, absolute; `None` for the root itself.
pub fn clean(path: &Path) -> Option<PathBuf> {
    let mut cleaned = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => {
                cleaned.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    (cleaned.parent().is_some()).then_some(cleaned)
}

/// Over /proc only a proc file system may be mounted, and below it only files that programs are known to be given; any
/// other mount there could blind the masks and the checks of programs that trust /proc.
fn check_proc(member: &str, destination: &Path, kind: &MountKind) -> Result<()> {
    const ALLOWED: [&str; 11] = [
        "cpuinfo",
        "diskstats",
        "meminfo",
        "stat",
        "swaps",
        "uptime",
        "loadavg",
        "slabinfo",
        "net/dev",
        "sys/kernel/ns_last_pid",
        "sys/crypto/fips_enabled",
    ];
    let Ok(below) = destination.strip_prefix("/proc") else {
        return Ok(());
    };
    let is_proc = matches!(kind, MountKind::FileSystem { fstype, .. } if fstype == "proc");
    let is_bind = matches!(kind, MountKind::Bind { .. });
    let allowed = if below.as_os_str().is_empty() {
        // A bind of /proc is checked to be procfs once it is open.
        is_proc || is_bind
    } else {
        ALLOWED.iter().any(|name| below == Path::new(name))
    };
    if allowed {
        return Ok(());
    }
    Err(Error::spec(
        format!("{member}.destination"),
        format!("{} cannot be mounted inside /proc", destination.display()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(json: &str) -> Result<MountPlan> {
        let mount: Mount = serde_json::from_str(json).unwrap();
        plan_mounts(&[mount], Path::new("/b"), None).map(|mut plans| plans.remove(0))
    }

    #[test]
    fn kinds() {
        let bind = plan(r#"{"destination":"/a/../x//y","source":"data","options":["rbind","ro"]}"#).unwrap();
        assert_eq!(bind.destination, Path::new("/x/y"));
        assert_eq!(
            bind.kind,
            MountKind::Bind {
                source: "/b/data".into(),
                recursive: true
            }
        );
        let typed = plan(r#"{"destination":"/x","type":"bind","source":"/s"}"#).unwrap();
        assert_eq!(
            typed.kind,
            MountKind::Bind {
                source: "/s".into(),
                recursive: false
            }
        );
        let tmpfs =
            plan(r#"{"destination":"/t","type":"tmpfs","source":"shm","options":["size=1k","nodev"]}"#).unwrap();
        let data = vec![("size".to_owned(), Some("1k".to_owned()))];
        assert_eq!(
            tmpfs.kind,
            MountKind::FileSystem {
                fstype: "tmpfs".into(),
                source: "shm".into(),
                data
            }
        );
        assert_eq!(
            plan(r#"{"destination":"/c","type":"cgroup"}"#).unwrap().kind,
            MountKind::Cgroup
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (json, part) in [
            (r#"{"destination":"/","type":"tmpfs"}"#, "destination"),
            (r#"{"destination":"/x"}"#, "type: is missing"),
            (r#"{"destination":"/x","options":["bind"]}"#, "source"),
            (
                r#"{"destination":"/x","source":"/s","options":["bind","size=1"]}"#,
                "unknown for a bind mount: size",
            ),
            (
                r#"{"destination":"/x","source":"/s","options":["bind","idmap"]}"#,
                "no user namespace",
            ),
            (r#"{"destination":"/proc","type":"tmpfs"}"#, "inside /proc"),
            (
                r#"{"destination":"/proc/self/attr","source":"/s","options":["bind"]}"#,
                "inside /proc",
            ),
            (r#"{"destination":"/x/../proc/sys","type":"tmpfs"}"#, "inside /proc"),
        ] {
            let error = plan(json).unwrap_err().to_string();
            assert!(error.contains(part), "{json}: {error}");
        }
        assert!(plan(r#"{"destination":"/proc/meminfo","source":"/s","options":["bind"]}"#).is_ok());
    }
}
