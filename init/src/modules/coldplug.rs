//! Loading drivers for the devices that are there: each names in `modalias` what it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::Loader;

/// Rounds of looking again: a driver makes new devices appear, for instance a controller its disks.
const ROUNDS: usize = 8;

/// Devices that hypervisors make answer at once, while a controller of a real bus waits for its links. The first is
/// QEMU's firmware configuration, which the configuration waits for.
const PARAVIRTUAL: [&str; 4] = ["acpi:QEMU0002:", "virtio:", "vmbus:", "xen:"];

/// Aliases of all devices under `/sys/bus`, each once, in order.
#[must_use]
pub fn modaliases(sys: &Path) -> BTreeSet<String> {
    let list = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let buses = list(&sys.join("bus"));
    let devices = buses.flat_map(|bus| list(&bus.path().join("devices")));
    let aliases = devices.filter_map(|device| fs::read_to_string(device.path().join("modalias")).ok());
    aliases
        .map(|alias| alias.trim().to_owned())
        .filter(|alias| !alias.is_empty())
        .collect()
}

/// Devices that have been asked already.
#[derive(Debug, Default)]
pub struct Coldplug {
    asked: BTreeSet<String>,
}

impl Coldplug {
    /// Loads drivers for devices not asked before, until no new ones appear. Returns the number of modules loaded.
    pub fn run(&mut self, loader: &mut Loader, sys: &Path) -> usize {
        self.run_for(loader, sys, |_, _| true)
    }

    /// The same for devices of a hypervisor's own buses.
    pub fn run_paravirtual(&mut self, loader: &mut Loader, sys: &Path) -> usize {
        let paravirtual = |_: &Loader, alias: &str| PARAVIRTUAL.iter().any(|bus| alias.starts_with(bus));
        self.run_for(loader, sys, paravirtual)
    }

    /// The same for those devices `wanted` says yes to; the others are asked another time.
    pub fn run_for(&mut self, loader: &mut Loader, sys: &Path, wanted: impl Fn(&Loader, &str) -> bool) -> usize {
        let mut total = 0;
        for _ in 0..ROUNDS {
            let new: Vec<String> = modaliases(sys)
                .difference(&self.asked)
                .filter(|alias| wanted(loader, alias))
                .cloned()
                .collect();
            if new.is_empty() {
                break;
            }
            total += new.iter().map(|alias| loader.load_for_device(alias)).sum::<usize>();
            self.asked.extend(new);
        }
        total
    }
}

/// Loads drivers for every device of the machine; for the system stage. A hypervisor's own come first: its network
/// link is what services wait for. Then storage, which the configuration waits for: `storage_detected` is called when its
/// drivers have looked at what is there.
pub fn run(storage_detected: impl FnOnce()) -> usize {
    let (mut coldplug, mut loader, sys) = (Coldplug::default(), Loader::of_running_kernel(), Path::new("/sys"));
    let paravirtual = coldplug.run_paravirtual(&mut loader, sys);
    let storage = coldplug.run_for(&mut loader, sys, |_, alias| is_storage(alias));
    storage_detected();
    paravirtual + storage + coldplug.run(&mut loader, sys)
}

/// A controller (PCI class 01), or what was found on one. A driver of such a controller is loaded when it has looked.
fn is_storage(alias: &str) -> bool {
    alias.starts_with("scsi:") || alias.starts_with("pci:") && alias.contains("bc01sc")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bus_is_looked_at_and_each_alias_asked_once() {
        let sys = tempfile::tempdir().unwrap();
        for (device, alias) in [
            ("pci/devices/0000", "pci:v1\n"),
            ("virtio/devices/v0", "virtio:d2\n"),
            ("usb/devices/1", "\n"),
        ] {
            let path = sys.path().join("bus").join(device);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("modalias"), alias).unwrap();
        }
        fs::create_dir_all(sys.path().join("bus/pci/devices/without")).unwrap();
        assert_eq!(
            modaliases(sys.path()).into_iter().collect::<Vec<_>>(),
            ["pci:v1", "virtio:d2"]
        );
        assert!(is_storage("pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01") && is_storage("scsi:t-0x05"));
        assert!(!is_storage("pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00"));
        let mut coldplug = Coldplug::default();
        let virtio = |_: &Loader, alias: &str| alias.starts_with("virtio:");
        assert_eq!(coldplug.run_for(&mut Loader::open(sys.path()), sys.path(), virtio), 0);
        assert_eq!(coldplug.asked.len(), 1);
        assert_eq!(coldplug.run(&mut Loader::open(sys.path()), sys.path()), 0);
        assert_eq!(coldplug.asked.len(), 2);
    }
}
