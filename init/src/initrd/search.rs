//! Waiting for the system disk: devices appear when their drivers are loaded and their buses answer, so the search is
//! repeated at each of the kernel's events until its deadline.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use keelson_image_layout::{Release, Slot};

use super::disk::{Candidate, Choice, Nodes, candidates, choose};
use super::drivers::Drivers;
use super::efi::Loader;
use super::uevent::Events;
use super::watchdog::Guard;
use super::{deadline, root};

/// Longest wait for the disk; storage networks and slow controllers take their time.
const WAIT: Duration = Duration::from_secs(60);
const SYS: &str = "/sys";
const DEV: &str = "/dev";

/// The disk this boot belongs to, and the slot it was started from.
#[derive(Debug)]
pub struct System {
    /// The disk.
    pub disk: Candidate,
    /// Its device nodes.
    pub nodes: Nodes,
    /// The slot.
    pub slot: Slot,
}

/// Finds disk and slot.
///
/// # Errors
/// Says which disks were there when the deadline passed.
pub fn find(drivers: &mut Drivers, loader: &Loader, release: &Release, guard: &mut Guard) -> Result<System> {
    let events = Events::open().context("listen for devices")?;
    let end = deadline(WAIT);
    drivers.for_paravirtual();
    if let Some(system) = look(&candidates(Path::new(SYS), Path::new(DEV)), loader, release) {
        return Ok(system);
    }
    loop {
        drivers.for_devices();
        let disks = candidates(Path::new(SYS), Path::new(DEV));
        if let Some(system) = look(&disks, loader, release) {
            return Ok(system);
        }
        guard.feed();
        if !events.wait(end) {
            bail!("{}", absence(&disks, loader));
        }
    }
}

fn look(disks: &[Candidate], loader: &Loader, release: &Release) -> Option<System> {
    let with_nodes = |disk: &Candidate| Nodes::find(Path::new(SYS), Path::new(DEV), &disk.name).ok();
    let by_tree = |nodes: &Nodes| root::slot_of_tree(&release.verity, |slot| nodes.part(slot.verity()).to_owned());
    let system = |disk: &Candidate| {
        let nodes = with_nodes(disk)?;
        let slot = loader.slot().or_else(|| by_tree(&nodes))?;
        Some(System {
            disk: disk.clone(),
            nodes,
            slot,
        })
    };
    match choose(disks, loader) {
        Choice::Found(disk) => system(disk),
        Choice::Absent => None,
        // Without the loader's word a disk must prove by its hash tree that it is ours.
        Choice::Unknown => disks
            .iter()
            .find(|disk| with_nodes(disk).is_some_and(|nodes| by_tree(&nodes).is_some()))
            .and_then(system),
    }
}

fn absence(disks: &[Candidate], loader: &Loader) -> String {
    let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
    let seen = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    match loader.partition {
        Some(partition) => {
            format!("no disk has the partition {partition} the boot loader came from; system disks seen: {seen}")
        }
        None => format!("no disk has a slot with this release's root hash; system disks seen: {seen}"),
    }
}
