//! Reading the survey out of `/sys`, `/proc/self/mountinfo` and the disks themselves.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::recognise::{LOOKED_AT, recognise};
use super::{Disk, Partition};

/// Block devices that are no disks of their own.
const NOT_DISKS: [&str; 8] = ["loop", "ram", "zram", "dm-", "sr", "fd", "md", "nbd"];

/// All disks in the kernel's order. `system` is the device the running system came from.
#[must_use]
pub fn disks(sys: &Path, dev: &Path, mountinfo: &str, system: Option<&Path>) -> Vec<Disk> {
    let entries = fs::read_dir(sys.join("block")).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.retain(|name| !NOT_DISKS.iter().any(|prefix| name.starts_with(prefix)));
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
        .into_iter()
        .map(|name| disk(&sys.join("block").join(&name), dev, &name, mountinfo, system))
        .filter(|disk| disk.bytes > 0)
        .collect()
}

/// One block device by its kernel name, of those too that are no disks by themselves; `None` if there is none.
#[must_use]
pub fn named(sys: &Path, dev: &Path, mountinfo: &str, name: &str) -> Option<Disk> {
    let at = sys.join("block").join(name);
    at.is_dir().then(|| disk(&at, dev, name, mountinfo, None))
}

fn disk(at: &Path, dev: &Path, name: &str, mountinfo: &str, system: Option<&Path>) -> Disk {
    let device = dev.join(name);
    let partitions = partitions(at, dev, name);
    let mut used: Vec<String> = std::iter::once(at.to_owned())
        .chain(partitions.iter().map(|part| at.join(&part.name)))
        .flat_map(|place| uses(&place, mountinfo))
        .collect();
    used.dedup();
    Disk {
        is_system: system == Some(device.as_path()),
        model: text(&at.join("device/model")),
        serial: serial(at),
        bytes: number(&at.join("size")) * 512,
        sector: number(&at.join("queue/logical_block_size")),
        read_only: number(&at.join("ro")) == 1,
        removable: number(&at.join("removable")) == 1,
        content: partitions.is_empty().then(|| content(&device)).flatten(),
        name: name.to_owned(),
        device,
        partitions,
        used,
    }
}

fn partitions(at: &Path, dev: &Path, disk: &str) -> Vec<Partition> {
    let entries = fs::read_dir(at).into_iter().flatten().flatten();
    let mut found: Vec<(u64, Partition)> = entries
        .filter(|entry| entry.path().join("partition").exists())
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let part = Partition {
                label: label(&entry.path().join("uevent")),
                bytes: number(&entry.path().join("size")) * 512,
                content: content(&dev.join(&name)),
                name,
            };
            (number(&entry.path().join("partition")), part)
        })
        .collect();
    found.sort_by_key(|(number, _)| *number);
    debug_assert!(found.iter().all(|(_, part)| part.name.starts_with(disk)));
    found.into_iter().map(|(_, part)| part).collect()
}

/// What holds a disk or partition: mounts by device number, and devices stacked on it.
fn uses(place: &Path, mountinfo: &str) -> Vec<String> {
    let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let number = text(&place.join("dev"));
    let mounts = mounted_at(mountinfo, &number).map(|at| format!("{name} is mounted at {at}"));
    let holders = fs::read_dir(place.join("holders")).into_iter().flatten().flatten();
    let holders = holders.map(|holder| format!("{name} carries {}", holder.file_name().to_string_lossy()));
    mounts.chain(holders).collect()
}

/// Mount points of a device. Source: proc_pid_mountinfo(5), fields 3 and 5.
fn mounted_at<'a>(mountinfo: &'a str, device: &'a str) -> impl Iterator<Item = &'a str> {
    mountinfo.lines().filter_map(move |line| {
        let mut fields = line.split(' ');
        (fields.nth(2)? == device).then(|| fields.nth(1)).flatten()
    })
}

/// SCSI and ATA give their serial in a page of vital product data, NVMe and virtio in a file.
fn serial(at: &Path) -> String {
    let page = fs::read(at.join("device/vpd_pg80")).unwrap_or_default();
    let of_page = page.get(4..).map(printable).filter(|serial| !serial.is_empty());
    let files = ["serial", "device/serial", "device/wwid", "wwid"].map(|name| text(&at.join(name)));
    of_page
        .or_else(|| files.into_iter().find(|serial| !serial.is_empty()))
        .unwrap_or_default()
}

/// Name in the partition table, as the kernel's events give it.
fn label(uevent: &Path) -> String {
    let text = fs::read_to_string(uevent).unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PARTNAME="));
    printable(name.unwrap_or_default().as_bytes())
}

fn content(device: &PathBuf) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(device)
        .ok()?
        .take(LOOKED_AT as u64)
        .read_to_end(&mut bytes)
        .ok()?;
    let found = recognise(&bytes)?;
    Some(match found.label {
        Some(label) => format!("{} {label:?}", found.kind),
        None => found.kind.to_owned(),
    })
}

fn text(path: &Path) -> String {
    printable(&fs::read(path).unwrap_or_default())
}

/// What goes to a terminal.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let plain: String = text.chars().filter(|letter| !letter.is_control()).collect();
    plain.trim().to_owned()
}

fn number(path: &Path) -> u64 {
    text(path).parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(root: &Path, path: &str, content: &[u8]) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    #[test]
    fn disks_are_read_with_what_is_on_them_and_what_uses_them() {
        let place = tempfile::tempdir().unwrap();
        let (sys, dev) = (place.path().join("sys"), place.path().join("dev"));
        file(&sys, "block/loop0/size", b"8\n");
        file(&sys, "block/sdb/size", b"0\n");
        file(&sys, "block/sda/size", b"8192\n");
        file(&sys, "block/sda/dev", b"8:0\n");
        file(&sys, "block/sda/device/model", b"QEMU HARDDISK   \n");
        file(&sys, "block/sda/device/vpd_pg80", b"\x00\x80\x00\x04 S-1");
        file(&sys, "block/sda/sda1/partition", b"1\n");
        file(&sys, "block/sda/sda1/size", b"4096\n");
        file(&sys, "block/sda/sda1/dev", b"8:1\n");
        file(&sys, "block/sda/sda1/uevent", b"DEVNAME=sda1\nPARTNAME=data\n");
        file(&sys, "block/sda/sda1/holders/dm-0", b"");
        let mut swap = vec![0; 8192];
        swap[4086..4096].copy_from_slice(b"SWAPSPACE2");
        file(&dev, "sda1", &swap);
        file(&dev, "sda", &[0; 512]);
        let mounts = "36 35 8:1 / /mnt/photos rw - ext4 /dev/sda1 rw\n37 35 8:17 / /x rw - ext4 /dev/sdb1 rw\n";
        let found = disks(&sys, &dev, mounts, Some(&dev.join("sda")));
        let [disk] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((disk.serial.as_str(), disk.model.as_str()), ("S-1", "QEMU HARDDISK"));
        assert!(disk.is_system && !disk.read_only);
        assert_eq!(disk.partitions[0].content.as_deref(), Some("swap"));
        assert_eq!(disk.partitions[0].label, "data");
        assert_eq!(disk.used, ["sda1 is mounted at /mnt/photos", "sda1 carries dm-0"]);
        assert!(
            disk.describe()
                .contains("sda: QEMU HARDDISK, serial S-1, 4.0 MiB, the running system")
        );
    }
}
