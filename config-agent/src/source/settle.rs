//! Whether more devices may appear: a controller without a driver yet, or a disk that its driver has not shown yet.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest the boot waits for a device.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two looks.
const STEP: Duration = Duration::from_millis(10);

/// A bounded wait.
pub(super) struct Waiting {
    until: Instant,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self {
            until: Instant::now() + PATIENCE,
        }
    }

    /// After a short sleep, whether to look again: not when time is up, nor when nothing more is to come.
    pub(super) fn worthwhile(&mut self, sys: &Path) -> bool {
        still_detecting(sys) && self.step()
    }

    /// Waits for the driver of the hypervisor's firmware device, if there is such a device.
    pub(super) fn for_firmware(&mut self, sys: &Path) {
        while FIRMWARE.pending(sys) && self.step() {}
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

/// Where storage shows, and what is there once it is detected.
struct Bus {
    /// Folder of devices.
    devices: &'static str,
    /// Attribute that tells what a device is, and how it begins for storage.
    attribute: (&'static str, &'static str),
    /// Beginning of a folder's name, at this depth below the device, that shows the end of detection.
    done: (&'static str, usize),
}

/// Shows its content as soon as its driver is there.
const FIRMWARE: Bus = Bus {
    devices: "bus/platform/devices",
    attribute: ("modalias", "acpi:QEMU0002"),
    done: ("driver", 0),
};

/// Loading a driver ends with the detection of what hangs on PCI and virtio; a USB stick is looked at a second later.
const BUSES: [Bus; 4] = [
    // Class 01: mass storage.
    Bus {
        devices: "bus/pci/devices",
        attribute: ("class", "0x01"),
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

fn still_detecting(sys: &Path) -> bool {
    BUSES.iter().any(|bus| bus.pending(sys))
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
}
