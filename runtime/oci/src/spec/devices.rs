//! Device nodes of a container: the ones every container has, and the specification's. Pure.

use crate::error::{Error, Result};
use crate::spec::mounts::clean;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fs::FileType;
use std::path::{Path, PathBuf};

/// One node to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePlan {
    /// In the container, absolute.
    pub path: PathBuf,
    /// Character, block or FIFO.
    pub kind: FileType,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner in the container.
    pub uid: u32,
    /// Group in the container.
    pub gid: u32,
}

/// Links every container has in /dev: name, target.
pub const LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// Nodes to make: the default ones, replaced by the specification's of the same path, then the others.
pub fn plan_devices(devices: &[LinuxDevice]) -> Result<Vec<DevicePlan>> {
    let mut planned: Vec<DevicePlan> = defaults();
    for device in devices {
        let device = plan_device(device)?;
        match planned.iter_mut().find(|known| known.path == device.path) {
            Some(known) => *known = device,
            None => planned.push(device),
        }
    }
    // What is linked to the container's own terminals is not a node.
    planned.retain(|device| !LINKS.iter().any(|(link, _)| device.path == Path::new(link)));
    Ok(planned)
}

fn defaults() -> Vec<DevicePlan> {
    [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ]
    .map(|(name, major, minor)| DevicePlan {
        path: Path::new("/dev").join(name),
        kind: FileType::CharacterDevice,
        major,
        minor,
        mode: 0o666,
        uid: 0,
        gid: 0,
    })
    .to_vec()
}

fn plan_device(device: &LinuxDevice) -> Result<DevicePlan> {
    let shown = device.path().display().to_string();
    let wrong = |reason: &str| Error::spec(format!("linux.devices {shown}"), reason);
    let path = clean(device.path()).ok_or_else(|| wrong("is not a path below the root"))?;
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::P => FileType::Fifo,
        LinuxDeviceType::A => return Err(wrong("type a is no type of a node")),
    };
    let number = |number: i64| u32::try_from(number).map_err(|_| wrong("has a device number that does not exist"));
    Ok(DevicePlan {
        path,
        kind,
        major: number(device.major())?,
        minor: number(device.minor())?,
        mode: device.file_mode().map_or(0o666, |mode| mode & 0o7777),
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_replaces_defaults_and_adds() {
        let devices: Vec<LinuxDevice> = serde_json::from_str(
            r#"[{"path":"/dev/null","type":"c","major":1,"minor":3,"fileMode":384,"uid":5},
                {"path":"/dev/kvm","type":"c","major":10,"minor":232},
                {"path":"/dev/ptmx","type":"c","major":5,"minor":2}]"#,
        )
        .unwrap();
        let planned = plan_devices(&devices).unwrap();
        assert_eq!(planned.len(), 7);
        assert_eq!((planned[0].mode, planned[0].uid), (0o600, 5));
        assert_eq!(planned[6].path, Path::new("/dev/kvm"));
        let bad =
            serde_json::from_str::<Vec<LinuxDevice>>(r#"[{"path":"/dev/x","type":"c","major":-1,"minor":0}]"#).unwrap();
        assert!(plan_devices(&bad).is_err());
    }
}
