//! The device loader, a process of its own (`keelson-init devices`), since loading a module can take its time: drivers
//! for everything that is there, then for everything that appears.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::ExitCode;

use keelson_image_layout::paths;
use rustix::net::SocketFlags;

use super::uevent::{self, Received};
use crate::modules::{self, Loader};

/// Devices of classes that find their drivers by alias without being on a bus.
const CLASSES: [&str; 1] = ["/sys/class/input"];

/// Runs until it is stopped.
#[must_use]
pub fn run() -> ExitCode {
    crate::kmsg::install();
    // Before the first look, so that nothing falls between looking and listening.
    let events = match uevent::open(SocketFlags::empty()) {
        Ok(events) => events,
        Err(error) => {
            log::error!("no device events: {error}");
            return ExitCode::FAILURE;
        }
    };
    let loaded = modules::coldplug::run(mark_storage) + load_all(&class_aliases());
    log::info!("drivers loaded for the devices of this machine: {loaded} modules");
    say_ready();
    let mut asked = modules::coldplug::modaliases(Path::new("/sys"));
    loop {
        let alias = match uevent::receive(&events) {
            Received::Event(event) if event.action == "add" => event.modalias,
            // Events were lost, or somebody else spoke: look again.
            Received::Other => {
                modules::coldplug::run(|| ());
                None
            }
            Received::Event(_) | Received::Nothing => None,
        };
        if let Some(alias) = alias.filter(|alias| asked.insert(alias.clone())) {
            load_all(&BTreeSet::from([alias]));
        }
    }
}

/// For who looks for volumes: nothing more is to come from what was there at the start.
fn mark_storage() {
    if let Err(error) = std::fs::write(paths::STORAGE_DETECTED, "") {
        log::warn!("cannot say that storage is detected: {error}");
    }
}

/// The index of modules is read for the occasion and not kept: devices rarely appear.
fn load_all(aliases: &BTreeSet<String>) -> usize {
    if aliases.is_empty() {
        return 0;
    }
    let mut loader = Loader::of_running_kernel();
    aliases.iter().map(|alias| loader.load_for_device(alias)).sum()
}

fn class_aliases() -> BTreeSet<String> {
    let devices = CLASSES
        .iter()
        .flat_map(|class| fs::read_dir(class).into_iter().flatten().flatten());
    let aliases = devices.filter_map(|device| fs::read_to_string(device.path().join("modalias")).ok());
    aliases
        .map(|alias| alias.trim().to_owned())
        .filter(|alias| !alias.is_empty())
        .collect()
}

fn say_ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to(b"READY=1", path));
    if let Err(error) = sent {
        log::warn!("readiness was not heard: {error}");
    }
}
