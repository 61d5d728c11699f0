//! The modules of the initramfs: a fixed few in a fixed order, then what the machine's devices ask for.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use keelson_image_layout::paths;

use crate::modules::coldplug::Coldplug;
use crate::modules::{Loader, modprobe};

const SYS: &str = "/sys";
/// Where the kernel finds the program that loads what it misses.
const MODPROBE: &str = "/sbin/modprobe";
/// Lets an earlier panic's last words be read, and the next one's be kept.
const PSTORE: &str = "efi_pstore";

/// Watchdogs an initramfs may carry.
const WATCHDOGS: [&str; 1] = ["i6300esb"];

/// The loader and the devices it has asked for.
#[derive(Debug)]
pub struct Drivers {
    loader: Loader,
    coldplug: Coldplug,
}

impl Drivers {
    /// Loads the modules the release names, in their order. A missing one is not fatal here: the step that needs it
    /// says what is missing.
    #[must_use]
    pub fn load() -> Drivers {
        let mut drivers = Drivers {
            loader: Loader::of_running_kernel(),
            coldplug: Coldplug::default(),
        };
        answer_kernel();
        let list = fs::read_to_string(paths::INITRD_MODULES).unwrap_or_default();
        for name in list.lines().map(str::trim).filter(|name| !name.is_empty()) {
            if let Err(error) = drivers.loader.load(name) {
                log::warn!(module = name, error:% = crate::chain(&error); "module not loaded");
            }
        }
        if let Err(error) = drivers.loader.load(PSTORE) {
            log::info!(error:% = crate::chain(&error); "no store for the kernel's last words");
        }
        drivers
    }

    /// Loads drivers for a watchdog, if there is one.
    pub fn for_watchdog(&mut self) {
        let watchdog = |loader: &Loader, alias: &str| {
            loader
                .answers_to(alias)
                .iter()
                .any(|name| WATCHDOGS.contains(&name.as_str()))
        };
        self.coldplug.run_for(&mut self.loader, Path::new(SYS), watchdog);
    }

    /// Loads drivers for devices of a hypervisor's own buses that appeared since the last call.
    pub fn for_paravirtual(&mut self) {
        self.coldplug.run_paravirtual(&mut self.loader, Path::new(SYS));
    }

    /// Loads drivers for all devices that appeared since the last call.
    pub fn for_devices(&mut self) {
        self.coldplug.run(&mut self.loader, Path::new(SYS));
    }
}

/// Lets the kernel call this program for what it misses (file-system tables, ciphers).
fn answer_kernel() {
    let made = fs::create_dir_all("/sbin").and_then(|()| symlink("/init", MODPROBE));
    if made.is_ok() || Path::new(MODPROBE).exists() {
        let _ = modprobe::answer_kernel(MODPROBE);
    }
}

/// From the switch on nobody answers, until the system stage has mounted what it needs.
pub fn answer_kernel_no_more() {
    let _ = modprobe::answer_kernel("");
}
