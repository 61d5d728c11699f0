//! Block devices as the kernel lists them in `/sys/class/block`.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A device that may hold a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// Its node, for instance `/dev/vdb`.
    pub node: PathBuf,
    /// What tells it from others.
    pub attachment: Attachment,
}

/// How a device is attached: what stays the same when its content is written anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Serial number that the device reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Path of the bus, without what depends on the order of detection.
    pub bus: String,
    /// Whether a hypervisor offers it by a bus of its own, whose devices show at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paravirtual: bool,
}

impl Attachment {
    /// Whether this is the same device: by serial number if both have one, else by the place on the bus.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        match (&self.serial, &other.serial) {
            (Some(one), Some(two)) => one == two,
            _ => self.bus == other.bus,
        }
    }

    /// Whether anyone who passes by can attach another device in its place.
    #[must_use]
    pub fn pluggable(&self) -> bool {
        self.bus.split('/').any(|part| part.starts_with("usb"))
    }
}

/// Kinds of devices that carry no volume of their own.
const VIRTUAL: [&str; 6] = ["loop", "ram", "zram", "dm-", "md", "nbd"];

/// The devices with a medium, in the order of their names.
///
/// # Errors
/// The list cannot be read.
pub fn devices(sys: &Path, dev: &Path) -> io::Result<Vec<BlockDevice>> {
    let class = sys.join("class/block");
    let mut names: Vec<String> = fs::read_dir(&class)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !VIRTUAL.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    names.sort();
    Ok(names
        .iter()
        .filter_map(|name| device(&class.join(name), dev.join(name)))
        .collect())
}

/// `None` when the device is empty or went away.
fn device(entry: &Path, node: PathBuf) -> Option<BlockDevice> {
    let size: u64 = trimmed(&entry.join("size"))?.parse().ok()?;
    if size == 0 {
        return None;
    }
    let real = fs::canonicalize(entry).ok()?;
    // The disk's own attributes, when this is a partition.
    let disk = if real.join("partition").exists() {
        real.parent()?.to_owned()
    } else {
        real.clone()
    };
    let serial = ["serial", "device/serial", "device/wwid"]
        .iter()
        .find_map(|name| trimmed(&disk.join(name)));
    Some(BlockDevice {
        node,
        attachment: Attachment {
            serial,
            bus: bus_path(&real.to_string_lossy()),
            paravirtual: is_paravirtual(&real),
        },
    })
}

/// virtio (block and SCSI), Xen's and Hyper-V's.
fn is_paravirtual(real: &Path) -> bool {
    let parts = real.iter().map(|part| part.to_string_lossy());
    parts
        .into_iter()
        .any(|part| ["virtio", "vbd-", "VMBUS"].iter().any(|bus| part.starts_with(bus)))
}

/// Names and sizes of all block devices: another look is worth its while when they change.
pub fn shown(sys: &Path) -> Vec<(OsString, Option<String>)> {
    let entries = fs::read_dir(sys.join("class/block")).into_iter().flatten().flatten();
    let mut shown: Vec<_> = entries
        .map(|entry| (entry.file_name(), fs::read_to_string(entry.path().join("size")).ok()))
        .collect();
    shown.sort();
    shown
}

fn trimmed(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text: String = text.trim().chars().filter(|c| !c.is_control()).take(128).collect();
    (!text.is_empty()).then_some(text)
}

/// The part of a device's path in sysfs that names slots and ports, not the order in which drivers came: numbers of
/// virtio devices, SCSI hosts and the disk's own name are left out, the number of a partition stays.
fn bus_path(real: &str) -> String {
    let (bus, names) = real.split_once("/block/").unwrap_or((real, ""));
    let bus = bus.split_once("/devices/").map_or(bus, |(_, bus)| bus);
    let ordered = |part: &&str| {
        !["virtio", "host", "target", "nvme"]
            .iter()
            .any(|prefix| part.starts_with(prefix))
    };
    let mut parts: Vec<String> = bus.split('/').filter(ordered).map(str::to_owned).collect();
    if let Some(lun) = parts
        .last_mut()
        .filter(|part| part.split(':').count() == 4 && !part.contains('.'))
    {
        *lun = lun
            .split_once(':')
            .map_or_else(String::new, |(_, rest)| format!("scsi-{rest}"));
    }
    let partition = names
        .split_once('/')
        .map(|(disk, part)| part.strip_prefix(disk).unwrap_or(part));
    parts.extend(partition.map(|number| format!("part{}", number.trim_start_matches('p'))));
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_place_and_not_the_order() {
        for (real, expected) in [
            (
                "/sys/devices/pci0000:00/0000:00:03.0/virtio1/block/vdb",
                "pci0000:00/0000:00:03.0",
            ),
            (
                "/sys/devices/pci0000:00/0000:00:03.0/virtio4/block/vda/vda2",
                "pci0000:00/0000:00:03.0/part2",
            ),
            (
                "/sys/devices/pci0000:00/0000:00:1f.2/ata2/host1/target1:0:0/1:0:0:0/block/sr0",
                "pci0000:00/0000:00:1f.2/ata2/scsi-0:0:0",
            ),
            (
                "/sys/devices/pci0000:00/0000:00:05.0/nvme/nvme0/nvme0n1",
                "pci0000:00/0000:00:05.0",
            ),
        ] {
            assert_eq!(bus_path(real), expected);
        }
    }

    #[test]
    fn knows_a_device_again() {
        let at = |serial: Option<&str>, bus: &str| Attachment {
            serial: serial.map(str::to_owned),
            bus: bus.to_owned(),
            paravirtual: false,
        };
        assert!(at(Some("s"), "a").same_as(&at(Some("s"), "b")));
        assert!(!at(Some("s"), "a").same_as(&at(Some("t"), "a")));
        assert!(at(None, "a").same_as(&at(Some("t"), "a")));
        assert!(!at(None, "a").same_as(&at(None, "b")));
        assert!(at(None, "pci0000:00/0000:00:14.0/usb1/1-2").pluggable());
        assert!(!at(None, "pci0000:00/0000:00:03.0").pluggable());
    }

    #[test]
    fn lists_devices_with_a_medium() {
        let root = tempfile::tempdir().unwrap();
        let sys = root.path();
        let real = sys.join("devices/pci0/virtio0/block/vdb");
        for (name, size) in [("vdb", "2048\n"), ("vdc", "0\n")] {
            let real = real.with_file_name(name);
            fs::create_dir_all(&real).unwrap();
            fs::write(real.join("size"), size).unwrap();
            fs::write(real.join("serial"), "seed\n").unwrap();
            fs::create_dir_all(sys.join("class/block")).unwrap();
            std::os::unix::fs::symlink(&real, sys.join("class/block").join(name)).unwrap();
        }
        let found = devices(sys, Path::new("/dev")).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].node, Path::new("/dev/vdb"));
        assert_eq!(found[0].attachment.serial.as_deref(), Some("seed"));
    }
}
