//! Loading drivers for the devices that are there: each names in `modalias` what it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

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
        self.run_for(loader, sys, |_, alias| is_paravirtual(alias))
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

/// Drivers for every device of the machine, in the order in which they are missed; for the system stage.
#[derive(Debug)]
pub struct Stages {
    coldplug: Coldplug,
    loader: Loader,
    sys: PathBuf,
}

impl Stages {
    /// Of the running kernel.
    #[must_use]
    pub fn of_running_kernel() -> Stages {
        Stages {
            coldplug: Coldplug::default(),
            loader: Loader::of_running_kernel(),
            sys: PathBuf::from("/sys"),
        }
    }

    /// Whether a hypervisor offers devices of its own: then disk and network need no others.
    #[must_use]
    pub fn is_paravirtual(&self) -> bool {
        modaliases(&self.sys).iter().any(|alias| is_paravirtual(alias))
    }

    /// What services wait for, or somebody may: a hypervisor's own devices, then all that is neither storage nor in the
    /// background.
    pub fn run_urgent(&mut self) {
        self.coldplug.run_paravirtual(&mut self.loader, &self.sys);
        self.coldplug
            .run_for(&mut self.loader, &self.sys, |_, alias| is_urgent(alias));
    }

    /// A device that appeared while others are held back: what is urgent, and with `storage` that as well.
    pub fn take(&mut self, alias: &str, storage: bool) {
        let wanted = is_urgent(alias) || storage && is_storage(alias);
        if wanted && self.coldplug.asked.insert(alias.to_owned()) {
            self.loader.load_for_device(alias);
        }
    }

    /// Storage. Its drivers have looked at what is there when this returns.
    pub fn run_storage(&mut self) {
        let storage = |_: &Loader, alias: &str| is_storage(alias);
        self.coldplug.run_for(&mut self.loader, &self.sys, storage);
    }

    /// Everything else.
    pub fn run_rest(&mut self) {
        self.coldplug.run(&mut self.loader, &self.sys);
    }

    /// Loads drivers for devices that were found elsewhere.
    pub fn load_all(&mut self, aliases: &BTreeSet<String>) {
        for alias in aliases {
            self.loader.load_for_device(alias);
        }
    }

    /// Names of the modules loaded so far.
    #[must_use]
    pub fn loaded(&self) -> &BTreeSet<String> {
        self.loader.loaded()
    }
}

fn is_urgent(alias: &str) -> bool {
    !is_storage(alias) && !is_background(alias)
}

fn is_paravirtual(alias: &str) -> bool {
    PARAVIRTUAL.iter().any(|bus| alias.starts_with(bus))
}

/// A controller (PCI class 01), or what was found on one. A driver of such a controller is loaded when it has looked.
fn is_storage(alias: &str) -> bool {
    alias.starts_with("scsi:") || alias.starts_with("pci:") && alias.contains("bc01sc")
}

/// Of the board itself, and nothing that a service or a container opens: bridges (PCI class 06) and the bus of sensors
/// (0c05), features of processors, and what firmware describes, except the power button and a TPM.
fn is_background(alias: &str) -> bool {
    let pci = alias.starts_with("pci:") && (alias.contains("bc06sc") || alias.contains("bc0Csc05"));
    let firmware =
        alias.starts_with("acpi:") && !["LNXPWRBN", "PNP0C0C", "MSFT0101"].iter().any(|id| alias.contains(id));
    pci || firmware || alias.starts_with("cpu:") || alias.starts_with("platform:")
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
        for (alias, background) in [
            ("pci:v00008086d00002918sv00001AF4sd00001100bc06sc01i00", true),
            ("pci:v00008086d00002930sv00001AF4sd00001100bc0Csc05i00", true),
            ("pci:v00008086d00002934sv00001AF4sd00001100bc0Csc03i00", false),
            ("pci:v000010DEd00001EB8sv000010DEsd000012A2bc03sc02i00", false),
            ("pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00", false),
            ("acpi:LNXPWRBN:", false),
            ("acpi:PNP0303:", true),
            ("cpu:type:x86,ven0002fam0017mod0031:feature:,0000", true),
            ("usb:v0627p0001d0000dc00dsc00dp00ic03isc00ip00in00", false),
        ] {
            assert_eq!(is_background(alias), background, "{alias}");
        }
        let mut coldplug = Coldplug::default();
        let virtio = |_: &Loader, alias: &str| alias.starts_with("virtio:");
        assert_eq!(coldplug.run_for(&mut Loader::open(sys.path()), sys.path(), virtio), 0);
        assert_eq!(coldplug.asked.len(), 1);
        assert_eq!(coldplug.run(&mut Loader::open(sys.path()), sys.path()), 0);
        assert_eq!(coldplug.asked.len(), 2);
    }
}
