//! Waiting for the system disk: devices appear when their drivers are loaded and their buses answer, so the search is
//! repeated at each of the kernel's events until its deadline.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use keelson_image_layout::{Part, Release, Slot};
use keelson_sys::partition_table;

use super::disk::{Candidate, Choice, Nodes, candidates, choose, mend, plan_mending, restore_primary};
use super::drivers::Drivers;
use super::efi::Loader;
use super::gpt::SECTOR;
use super::uevent::Events;
use super::watchdog::Guard;
use super::{deadline, medium, root};

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
    let by_tree = |disk: &Candidate| {
        root::slot_of_tree(&release.verity, &Path::new(DEV).join(&disk.name), |slot| {
            disk.table.partition(slot.verity().number())?.first.checked_mul(SECTOR)
        })
    };
    let system = |disk: &Candidate| {
        let slot = loader.slot().or_else(|| by_tree(disk))?;
        if disk.is_medium() {
            let nodes = medium::nodes(disk, Path::new(SYS), Path::new(DEV));
            let nodes = nodes
                .inspect_err(|error| log::warn!(disk = disk.name.as_str(), error:%; "medium"))
                .ok()?;
            let (disk, slot) = (disk.clone(), Slot::A);
            return Some(System { disk, nodes, slot });
        }
        let disk = with_primary(disk)?;
        let nodes = Nodes::find(Path::new(SYS), Path::new(DEV), &disk.name, &Part::ALL).ok()?;
        Some(System { disk, nodes, slot })
    };
    match choose(disks, loader) {
        Choice::Found(disk) => system(disk),
        Choice::Absent => None,
        // Without the loader's word a disk must prove by its hash tree that it is ours.
        // One that keeps variables and names no partition came from a disc.
        Choice::Unknown => disks
            .iter()
            .filter(|disk| loader.entry.is_none() || disk.is_disc())
            .filter(|disk| by_tree(disk).is_some())
            .find_map(system),
    }
}

/// The chosen disk with a sound primary table: restored if need be, since the kernel shows no partitions without it
/// and no later step may write the backup while it is the only good copy.
fn with_primary(disk: &Candidate) -> Option<Candidate> {
    if !disk.table.is_backup() {
        if let Err(error) = mend_rest(disk) {
            log::error!(disk = disk.name.as_str(), error:% = error; "damage beside the partition table is left");
        }
        return Some(disk.clone());
    }
    if let Err(error) = restore(disk) {
        log::error!(disk = disk.name.as_str(), error:% = error; "damaged partition table cannot be restored");
    }
    let again = candidates(Path::new(SYS), Path::new(DEV));
    again
        .into_iter()
        .find(|found| found.name == disk.name && !found.table.is_backup())
}

fn restore(disk: &Candidate) -> std::io::Result<()> {
    let whole = Path::new(DEV).join(&disk.name);
    let whole = File::options().read(true).write(true).open(whole)?;
    if restore_primary(&whole, disk.sectors)? {
        log::warn!(disk = disk.name.as_str(); "damaged partition table was restored from its backup");
    }
    partition_table::read_again(&whole)
}

/// The protective record and the backup of a disk whose primary table is sound; a sound disk is not opened for writing.
fn mend_rest(disk: &Candidate) -> std::io::Result<()> {
    let whole = Path::new(DEV).join(&disk.name);
    let plan = plan_mending(&File::open(&whole)?, disk.sectors);
    if plan.is_empty() {
        return Ok(());
    }
    mend(&File::options().read(true).write(true).open(&whole)?, &plan)?;
    for (what, _) in &plan {
        log::warn!(disk = disk.name.as_str(), what; "damaged, made again");
    }
    Ok(())
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
