//! Whether more devices may appear: a controller without a driver yet, or a disk that its driver has not shown yet.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keelson_image_layout::paths;

use super::Patience;
use crate::places::Places;

/// The longest the boot waits for drivers. A busy machine needs seconds to load them, and comes up without its document if
/// nobody waits. Less than the unit's own time to start.
const LOADING: Duration = Duration::from_secs(40);
/// The longest after that, for what drivers show later, such as sticks.
const DETECTING: Duration = Duration::from_secs(5);
/// After that a USB without any storage counts as having none. A stick shows itself a fraction of a second after its
/// controller.
const USB_LOOKS: Duration = Duration::from_secs(2);
/// How long a hypervisor's own disks may take to show before others are looked at as well.
const QUICK: Duration = Duration::from_secs(2);
/// Time between two looks.
const STEP: Duration = Duration::from_millis(20);

/// A bounded wait.
pub(super) struct Waiting<'a> {
    begun: Instant,
    sys: &'a Path,
    /// Exists once the drivers of the firmware's device and of storage have looked.
    storage_detected: PathBuf,
    /// Made when there is a reason to wait for disks.
    storage_wanted: PathBuf,
    /// When `storage_detected` was first seen.
    detected: Option<Instant>,
    /// What is waited for, once that was asked.
    patience: Option<Patience>,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(places: &'a Places) -> Self {
        let place = |path: &str| places.run.join(Path::new(path).file_name().unwrap_or_default());
        Self {
            begun: Instant::now(),
            sys: &places.sys,
            storage_detected: place(paths::STORAGE_DETECTED),
            storage_wanted: place(paths::STORAGE_WANTED),
            detected: None,
            patience: None,
        }
    }

    /// After a short sleep, whether to look again: not when time is up, nor when nothing more is to come.
    pub(super) fn worthwhile(&mut self, patience: impl Fn() -> Patience) -> bool {
        match *self.patience.get_or_insert_with(patience) {
            Patience::None => return false,
            Patience::Paravirtual => {
                return BUSES.iter().any(|bus| bus.quick && bus.pending(self.sys)) && step(self.begun + DETECTING);
            }
            Patience::All => {}
        }
        let detected = self.detected();
        if detected.is_none() && self.slow_storage_next() && !self.storage_wanted.exists() {
            // The drivers may be held back for want of somebody who asks.
            let _ = fs::write(&self.storage_wanted, "");
        }
        let usb_looks = detected.is_some_and(|at| at.elapsed() < USB_LOOKS) && has_usb(self.sys);
        (usb_looks || still_detecting(self.sys, detected.is_some()))
            && step(detected.map_or(self.begun + LOADING, |at| at + DETECTING))
    }

    /// Waits until the driver of the hypervisor's firmware device shows what is there, if there is such a device and a
    /// driver for it.
    pub(super) fn for_firmware(&mut self) {
        while firmware_pending(self.sys) && self.detected().is_none() && step(self.begun + LOADING) {}
    }

    /// Whether only controllers of a real bus are left to look at, or a hypervisor's disk keeps everybody waiting.
    fn slow_storage_next(&self) -> bool {
        let quick = BUSES.iter().any(|bus| bus.quick && bus.pending(self.sys));
        !quick || self.begun.elapsed() > QUICK
    }

    fn detected(&mut self) -> Option<Instant> {
        if self.detected.is_none() && self.storage_detected.exists() {
            self.detected = Some(Instant::now());
        }
        self.detected
    }
}

/// Sleeps a little, unless time is up.
fn step(until: Instant) -> bool {
    if Instant::now() >= until {
        return false;
    }
    std::thread::sleep(STEP);
    true
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
    /// Whether it is a hypervisor's, on which devices show at once.
    quick: bool,
}

/// What may come after the drivers of PCI's controllers: a USB stick is looked at a second later.
const BUSES: [Bus; 3] = [
    Bus {
        devices: "bus/virtio/devices",
        attribute: ("device", "0x0002"),
        done: ("block", 0),
        quick: true,
    },
    Bus {
        devices: "bus/virtio/devices",
        attribute: ("device", "0x0008"),
        done: ("driver", 0),
        quick: true,
    },
    // Interface class 8: mass storage.
    Bus {
        devices: "bus/usb/devices",
        attribute: ("bInterfaceClass", "08"),
        done: ("target", 1),
        quick: false,
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

/// Whether a driver runs a USB: each has a hub at its root. The hub tells of what is plugged in when it comes round.
fn has_usb(sys: &Path) -> bool {
    shows(&sys.join("bus/usb/devices"), ("usb", 0))
}

/// `detected`: the drivers of PCI's controllers have looked; one without a driver by then stays without.
fn still_detecting(sys: &Path, detected: bool) -> bool {
    // A driver is bound before it has looked, so that it alone says nothing of disks and discs.
    let controllers = || {
        let devices = entries(&sys.join(PCI)).into_iter();
        let mut classes = devices.filter_map(|device| fs::read_to_string(device.join("class")).ok());
        classes.any(|class| class.starts_with(STORAGE))
    };
    BUSES.iter().any(|bus| bus.pending(sys)) || !detected && controllers()
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
            ("bus/virtio/devices/virtio1", "device", "0x0002\n", "block"),
            (
                "bus/usb/devices/1-2:1.0",
                "bInterfaceClass",
                "08\n",
                "host2/target2:0:0",
            ),
        ] {
            let root = tempfile::tempdir().unwrap();
            let still_detecting = |sys: &Path| still_detecting(sys, true);
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
    fn a_usb_is_one_with_a_hub_at_its_root() {
        let root = tempfile::tempdir().unwrap();
        assert!(!has_usb(root.path()));
        fs::create_dir_all(root.path().join("bus/usb/devices/usb1")).unwrap();
        assert!(has_usb(root.path()));
    }

    #[test]
    fn a_controller_is_waited_for_until_drivers_have_looked_and_not_longer() {
        let root = tempfile::tempdir().unwrap();
        let sys = root.path();
        assert!(!still_detecting(sys, false));
        let device = sys.join("bus/pci/devices/0000:00:1f.2");
        fs::create_dir_all(device.join("driver")).unwrap();
        fs::write(device.join("class"), "0x010601\n").unwrap();
        assert!(still_detecting(sys, false));
        assert!(!still_detecting(sys, true));
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
