//! The device loader, a process of its own (`keelson-init devices`), since loading a module can take its time: drivers
//! for everything that is there, then for everything that appears.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use keelson_image_layout::paths;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::net::SocketFlags;

use super::uevent::{self, Received};
use crate::modules::coldplug::Stages;
use crate::modules::{self, Loader};

/// Devices of classes that find their drivers by alias without being on a bus.
const CLASSES: [&str; 1] = ["/sys/class/input"];
/// The longest that drivers are held back: a boot that does not come up has other troubles.
const HOLD: Duration = Duration::from_secs(120);
/// Time for the containers of the document between a complete boot and drivers that nobody has asked for.
const CONTAINERS_FIRST: Duration = Duration::from_secs(5);

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
    load_stages(&events);
    let mut asked = modules::coldplug::modaliases(Path::new("/sys"));
    loop {
        let alias = match uevent::receive(&events) {
            Received::Event(event) if event.action == "add" => event.modalias,
            // Events were lost, or somebody else spoke: look again.
            Received::Other => {
                Stages::of_running_kernel().run_rest();
                None
            }
            Received::Event(_) | Received::Nothing => None,
        };
        if let Some(alias) = alias.filter(|alias| asked.insert(alias.clone())) {
            load(&alias);
        }
    }
}

/// What somebody waits for at once. A hypervisor's guest has disk and network by then, and everything else would only
/// slow down its services while they start.
fn load_stages(events: &OwnedFd) {
    let mut stages = Stages::of_running_kernel();
    stages.run_urgent();
    // The power button speaks through an input device.
    stages.load_all(&class_aliases());
    say_ready();
    let run = Path::new(paths::RUN);
    let held_back = stages.is_paravirtual();
    if held_back {
        let awaited = [paths::STORAGE_WANTED, paths::BOOT_COMPLETE];
        hold(run, &awaited, events, |alias| stages.take(alias, false));
    }
    stages.run_storage();
    mark_storage();
    if held_back {
        hold(run, &[paths::BOOT_COMPLETE], events, |alias| stages.take(alias, true));
        // The containers of the document are starting.
        std::thread::sleep(CONTAINERS_FIRST);
    }
    stages.run_rest();
    stages.load_all(&class_aliases());
    let names = stages.loaded().iter().map(String::as_str).collect::<Vec<_>>();
    log::info!("drivers loaded for the devices of this machine: {}", names.join(" "));
}

/// Returns when one of these files is in the folder `run`, or after [`HOLD`]. Devices that appear meanwhile get their
/// drivers, as far as `taken` says. Without the kernel's help it holds nothing back.
fn hold(run: &Path, files: &[&str], events: &OwnedFd, mut taken: impl FnMut(&str)) {
    let until = Instant::now() + HOLD;
    let Ok(watch) = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK) else {
        return;
    };
    let made = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    if inotify::add_watch(&watch, run, made).is_err() {
        return;
    }
    while !files.iter().any(|file| Path::new(file).exists()) {
        let left = until.saturating_duration_since(Instant::now());
        let mut sources = [&watch, events].map(|source| PollFd::new(source, PollFlags::IN));
        let Ok(limit) = Timespec::try_from(left) else { return };
        if left.is_zero() || poll(&mut sources, Some(&limit)).is_err() {
            return;
        }
        if sources.last().is_some_and(|events| !events.revents().is_empty())
            && let Received::Event(event) = uevent::receive(events)
            && let Some(alias) = event.modalias.filter(|_| event.action == "add")
        {
            taken(&alias);
        }
        // What was made does not matter, only that something was.
        let mut names = [0; 4096];
        while rustix::io::read(&watch, &mut names).is_ok_and(|length| length > 0) {}
    }
}

/// For who looks for volumes: nothing more is to come from what was there at the start.
fn mark_storage() {
    if let Err(error) = std::fs::write(paths::STORAGE_DETECTED, "") {
        log::warn!("cannot say that storage is detected: {error}");
    }
}

/// The index of modules is read for the occasion and not kept: devices rarely appear.
fn load(alias: &str) {
    Loader::of_running_kernel().load_for_device(alias);
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
