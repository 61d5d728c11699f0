//! Whether more block devices may appear: a controller without a driver yet, or a disk whose driver is still probing.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest the boot waits for a device.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two looks.
const STEP: Duration = Duration::from_millis(25);

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
        if Instant::now() >= self.until || !still_detecting(sys) {
            return false;
        }
        std::thread::sleep(STEP);
        true
    }
}

/// Buses with storage: the folder of devices, the attribute that tells what a device is, the values that mean storage.
const BUSES: [(&str, &str, &[&str]); 3] = [
    // PCI class 01: mass storage.
    ("bus/pci/devices", "class", &["0x01"]),
    // Virtio device 2 is a disk, 8 a SCSI host.
    ("bus/virtio/devices", "device", &["0x0002", "0x0008"]),
    // USB interface class 8: mass storage.
    ("bus/usb/devices", "bInterfaceClass", &["08"]),
];

fn still_detecting(sys: &Path) -> bool {
    BUSES.iter().any(|(folder, attribute, storage)| {
        let entries = fs::read_dir(sys.join(folder)).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|device| {
            let kind = fs::read_to_string(device.join(attribute)).unwrap_or_default();
            storage.iter().any(|prefix| kind.starts_with(prefix)) && !device.join("driver").exists()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_only_for_storage_without_a_driver() {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join("bus/pci/devices/0000:00:03.0");
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("class"), "0x020000\n").unwrap();
        assert!(!still_detecting(root.path()));
        fs::write(device.join("class"), "0x010000\n").unwrap();
        assert!(still_detecting(root.path()));
        fs::create_dir(device.join("driver")).unwrap();
        assert!(!still_detecting(root.path()));
    }
}
