//! Whether more devices may appear: a controller without a driver yet, or a disk that its driver has not shown yet.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keelson_image_layout::paths;

use crate::places::Places;

/// The longest the boot waits for a device.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two looks.
const STEP: Duration = Duration::from_millis(10);

/// A bounded wait.
pub(super) struct Waiting<'a> {
    until: Instant,
    sys: &'a Path,
    /// Exists once storage drivers have looked.
    storage_detected: PathBuf,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(places: &'a Places) -> Self {
        let mark = Path::new(paths::STORAGE_DETECTED).file_name().unwrap_or_default();
        Self {
            until: Instant::now() + PATIENCE,
            sys: &places.sys,
            storage_detected: places.run.join(mark),
        }
    }

    /// After a short sleep, whether to look again: not when time is up, nor when nothing more is to come.
    pub(super) fn worthwhile(&self) -> bool {
        still_detecting(self.sys, &self.storage_detected) && self.step()
    }

    /// Waits until the driver of the hypervisor's firmware device shows what is there, if there is such a device.
    pub(super) fn for_firmware(&self) {
        while firmware_pending(self.sys) && self.step() {}
    }

    /// Sleeps a little, unless time is up.
    fn step(&self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        std::thread::sleep(STEP);
        true
    }
}

const PCI: &str = "bus/pci/devices";
const STORAGE: &str = "0x01";

/// Where storage shows, and what is there once it is detected.
struct Bus {
    /// Folder of devices.
    devices: &'static str,
    /// Attribute that tells what a device is, and how it begins for storage.
    attribute: (&'static str, &'static str),
    /// Beginning of a folder's name, at this depth below the device, that shows the end of detection.
    done: (&'static str, usize),
}

/// Loading a driver ends with the detection of what hangs on PCI and virtio; a USB stick is looked at a second later.
const BUSES: [Bus; 4] = [
    // Class 01: mass storage.
    Bus {
        devices: PCI,
        attribute: ("class", STORAGE),
        done: ("driver", 0),
    },
    Bus {
        devices: "bus/virtio/devices",
        attribute: ("device", "0x0002"),
        done: ("block", 0),
    },
    Bus {
        devices: "bus/virtio/devices",
        attribute: ("device", "0x0008"),
        done: ("driver", 0),
    },
    // Interface class 8: mass storage.
    Bus {
        devices: "bus/usb/devices",
        attribute: ("bInterfaceClass", "08"),
        done: ("target", 1),
    },
];

impl Bus {
    /// Whether one of its devices is not detected yet.
    fn pending(&self, sys: &Path) -> bool {
        entries(&sys.join(self.devices)).into_iter().any(|device| {
            let kind = fs::read_to_string(device.join(self.attribute.0)).unwrap_or_default();
            kind.starts_with(self.attribute.1) && !shows(&device, self.done)
        })
    }
}

fn still_detecting(sys: &Path, storage_detected: &Path) -> bool {
    // A driver is bound before it has looked, so that it alone says nothing of disks and discs.
    let controllers = || {
        let devices = entries(&sys.join(PCI)).into_iter();
        let mut classes = devices.filter_map(|device| fs::read_to_string(device.join("class")).ok());
        classes.any(|class| class.starts_with(STORAGE))
    };
    BUSES.iter().any(|bus| bus.pending(sys)) || !storage_detected.exists() && controllers()
}

/// QEMU's device is there and its driver not, or still reading: a module is live when it has read all.
fn firmware_pending(sys: &Path) -> bool {
    let there = entries(&sys.join("bus/platform/devices")).iter().any(|device| {
        device
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("QEMU0002"))
    });
    let module = fs::read_to_string(sys.join("module/qemu_fw_cfg/initstate"));
    there && !module.is_ok_and(|state| state.trim() == "live")
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

fn shows(directory: &Path, (prefix, depth): (&str, usize)) -> bool {
    entries(directory).iter().any(|path| match depth {
        0 => path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(prefix)),
        _ => path.is_dir() && !path.is_symlink() && shows(path, (prefix, depth - 1)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_only_for_storage_that_is_not_detected_yet() {
        for (device, attribute, value, done) in [
            ("bus/pci/devices/0000:00:03.0", "class", "0x010000\n", "driver"),
            ("bus/virtio/devices/virtio1", "device", "0x0002\n", "block"),
            (
                "bus/usb/devices/1-2:1.0",
                "bInterfaceClass",
                "08\n",
                "host2/target2:0:0",
            ),
        ] {
            let root = tempfile::tempdir().unwrap();
            let mark = root.path().join("mark");
            fs::write(&mark, "").unwrap();
            let still_detecting = |sys: &Path| still_detecting(sys, &mark);
            let device = root.path().join(device);
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join(attribute), "0x020000\n").unwrap();
            assert!(!still_detecting(root.path()));
            fs::write(device.join(attribute), value).unwrap();
            assert!(still_detecting(root.path()));
            fs::create_dir_all(device.join(done)).unwrap();
            assert!(!still_detecting(root.path()));
        }
    }

    #[test]
    fn a_bound_controller_is_waited_for_until_its_driver_has_looked() {
        let root = tempfile::tempdir().unwrap();
        let (sys, mark) = (root.path(), root.path().join("mark"));
        assert!(!still_detecting(sys, &mark));
        let device = sys.join("bus/pci/devices/0000:00:1f.2");
        fs::create_dir_all(device.join("driver")).unwrap();
        fs::write(device.join("class"), "0x010601\n").unwrap();
        assert!(still_detecting(sys, &mark));
        fs::write(&mark, "").unwrap();
        assert!(!still_detecting(sys, &mark));
    }

    #[test]
    fn the_firmware_device_is_waited_for_until_its_module_has_read_it() {
        let root = tempfile::tempdir().unwrap();
        let sys = root.path();
        assert!(!firmware_pending(sys));
        fs::create_dir_all(sys.join("bus/platform/devices/QEMU0002:00")).unwrap();
        assert!(firmware_pending(sys));
        let state = sys.join("module/qemu_fw_cfg/initstate");
        fs::create_dir_all(state.parent().unwrap()).unwrap();
        fs::write(&state, "coming\n").unwrap();
        assert!(firmware_pending(sys));
        fs::write(&state, "live\n").unwrap();
        assert!(!firmware_pending(sys));
    }
}
