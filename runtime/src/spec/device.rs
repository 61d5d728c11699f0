//! Which device nodes a container has and may use. The decision is pure; looking at the host's
//! nodes is `find_*`.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};

use crate::engine::request::DeviceRequest;

/// A device node of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Path inside the container.
    pub path: PathBuf,
    /// Block or character.
    pub block: bool,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Any of `r`, `w`, `m`.
    pub access: String,
}

/// The nodes and rules of a container.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DevicePlan {
    /// Nodes to make, beside those every container has.
    pub nodes: Vec<LinuxDevice>,
    /// Rules, the later ones winning.
    pub rules: Vec<LinuxDeviceCgroup>,
}

/// Nodes and rules: everything for a privileged container, else the harmless devices every one has
/// and those asked for.
pub fn plan_devices(privileged: bool, nodes: &[Node]) -> DevicePlan {
    let made = nodes.iter().map(make_node).collect();
    if privileged {
        return DevicePlan {
            nodes: made,
            rules: vec![rule(true, LinuxDeviceType::A, None, "rwm")],
        };
    }
    // What every container has is the runtime's to add (`keelson_oci::cgroup::devices`).
    let mut rules = vec![rule(false, LinuxDeviceType::A, None, "rwm")];
    rules.extend(nodes.iter().map(|node| {
        let numbers = (i64::from(node.major), i64::from(node.minor));
        rule(true, kind(node), Some(numbers), &node.access)
    }));
    DevicePlan { nodes: made, rules }
}

fn kind(node: &Node) -> LinuxDeviceType {
    if node.block {
        LinuxDeviceType::B
    } else {
        LinuxDeviceType::C
    }
}

fn rule(allow: bool, kind: LinuxDeviceType, numbers: Option<(i64, i64)>, access: &str) -> LinuxDeviceCgroup {
    let mut builder = LinuxDeviceCgroupBuilder::default()
        .allow(allow)
        .typ(kind)
        .access(access.to_owned());
    if let Some((major, minor)) = numbers {
        builder = builder.major(major).minor(minor);
    }
    builder.build().unwrap_or_default()
}

fn make_node(node: &Node) -> LinuxDevice {
    LinuxDeviceBuilder::default()
        .path(node.path.clone())
        .typ(kind(node))
        .major(i64::from(node.major))
        .minor(i64::from(node.minor))
        .file_mode(node.mode)
        .uid(node.uid)
        .gid(node.gid)
        .build()
        .unwrap_or_default()
}

/// A device that cannot be given.
#[derive(Debug, thiserror::Error)]
#[error("error gathering device information while adding custom device {path:?}")]
pub struct DeviceError {
    /// Path on the host.
    pub path: String,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// Looks at the host's nodes that were asked for.
///
/// # Errors
/// One is missing or no device.
pub fn find_devices(asked: &[DeviceRequest]) -> Result<Vec<Node>, DeviceError> {
    asked
        .iter()
        .map(|device| {
            look_at(Path::new(&device.host), Path::new(&device.container), &device.access).map_err(|source| {
                DeviceError {
                    path: device.host.clone(),
                    source,
                }
            })
        })
        .collect()
}

/// Every node below `/dev` of the host, for a privileged container; terminals, shared memory and
/// message queues have mounts of their own.
pub fn find_all_devices() -> Vec<Node> {
    let mut found = vec![];
    let mut directories = vec![PathBuf::from("/dev")];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && !is_mount_of_its_own(&path) {
                directories.push(path);
            } else if (kind.is_block_device() || kind.is_char_device())
                && !is_made_by_runtime(&path)
                && let Ok(node) = look_at(&path, &path, "rwm")
            {
                found.push(node);
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn is_mount_of_its_own(path: &Path) -> bool {
    ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/hugepages"]
        .iter()
        .any(|p| path == Path::new(p))
}

fn is_made_by_runtime(path: &Path) -> bool {
    const MADE: [&str; 8] = [
        "/dev/null",
        "/dev/zero",
        "/dev/full",
        "/dev/random",
        "/dev/urandom",
        "/dev/tty",
        "/dev/console",
        "/dev/ptmx",
    ];
    MADE.iter().any(|made| path == Path::new(made))
}

fn look_at(host: &Path, container: &Path, access: &str) -> std::io::Result<Node> {
    let metadata = std::fs::metadata(host)?;
    let kind = metadata.file_type();
    if !kind.is_block_device() && !kind.is_char_device() {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "not a device node",
        ));
    }
    Ok(Node {
        path: container.to_owned(),
        block: kind.is_block_device(),
        major: rustix::fs::major(metadata.rdev()),
        minor: rustix::fs::minor(metadata.rdev()),
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        access: access.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_closed_unless_named() {
        let plan = plan_devices(false, &[]);
        let first = &plan.rules[0];
        assert!(!first.allow() && first.access().as_deref() == Some("rwm"));
        assert_eq!(plan.rules.len(), 1);
        assert!(plan.nodes.is_empty());
    }

    #[test]
    fn a_named_device_is_made_and_allowed() {
        let asked = DeviceRequest {
            host: "/dev/null".into(),
            container: "/dev/hole".into(),
            access: "r".into(),
        };
        let nodes = find_devices(&[asked]).unwrap();
        let plan = plan_devices(false, &nodes);
        assert_eq!(plan.nodes[0].path(), Path::new("/dev/hole"));
        let last = plan.rules.last().unwrap();
        assert_eq!((last.major(), last.minor()), (Some(1), Some(3)));
        assert_eq!(last.access().as_deref(), Some("r"));
    }

    #[test]
    fn a_file_is_no_device() {
        let asked = DeviceRequest {
            host: "/etc/passwd".into(),
            container: "/dev/x".into(),
            access: "r".into(),
        };
        assert!(find_devices(&[asked]).is_err());
    }
}
