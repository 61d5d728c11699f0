//! A machine with declared containers, and questions to its probe.

use std::time::Duration;

use anyhow::{Context, Result};
use keelson_os_build::qemu::{Disk, Forward, MachineSpec, Protocol};

use crate::disk::DiskFile;
use crate::fetch::{free_port, get, get_within};
use crate::guest::{Guest, Lab};
use crate::registry::{Images, seed};
use crate::ssh::{Client, Keys};

/// How long a container may take from boot to its first answer, pull included, on a busy machine.
pub const FIRST_ANSWER: Duration = Duration::from_secs(180);
/// What the probe needs to look at the host as if it were part of it.
pub const AS_HOST: &str = "privileged = true\nnamespaces = { pid = \"host\" }\nports = [\"80:80\"]";

/// A running machine whose port 80 is forwarded.
#[derive(Debug)]
pub struct Provisioned {
    /// The machine.
    pub guest: Guest,
    /// Its disk.
    pub disk: DiskFile,
    port: u16,
    /// The registry its images come from.
    pub images: Images,
}

/// Boots a machine with a document made for the registry's images.
///
/// # Errors
/// The machine does not start or does not come up.
pub fn boot(
    lab: &Lab,
    images: Images,
    document: impl FnOnce(&Images) -> String,
    change: impl FnOnce(&mut MachineSpec),
) -> Result<Provisioned> {
    let disk = lab.disk("system")?;
    disk.enlarge(6 << 30)?;
    boot_disk(lab, disk, images, document, change)
}

/// Boots a disk with a document made for the registry's images.
///
/// # Errors
/// The machine does not start or does not come up.
pub fn boot_disk(
    lab: &Lab,
    disk: DiskFile,
    images: Images,
    document: impl FnOnce(&Images) -> String,
    change: impl FnOnce(&mut MachineSpec),
) -> Result<Provisioned> {
    let volume = seed(
        lab.directory(),
        "seed",
        &format!("{}{}", images.section(), document(&images)),
    )?;
    let port = free_port()?;
    let guest = lab.boot("guest", &disk, |spec| {
        spec.disks.push(Disk::read_only(&volume, "seed"));
        spec.forwards = Some(vec![Forward {
            protocol: Protocol::Tcp,
            host: port,
            guest: 80,
        }]);
        change(spec);
    })?;
    Ok(Provisioned {
        guest,
        disk,
        port,
        images,
    })
}

/// Boots a machine with one probe and waits until it answers.
///
/// # Errors
/// It does not come up, or the probe does not answer.
pub fn with_probe(lab: &Lab, more: &str) -> Result<Provisioned> {
    with_probe_on(lab, lab.disk("system")?, more, |_| ())
}

/// The same on a disk of the case's, with a changed machine.
///
/// # Errors
/// It does not come up, or the probe does not answer.
pub fn with_probe_on(
    lab: &Lab,
    disk: DiskFile,
    more: &str,
    change: impl FnOnce(&mut MachineSpec),
) -> Result<Provisioned> {
    let images = Images::with_probe(lab.directory())?;
    let document = |images: &Images| images.probe_section("probe", &["serve", "80"], more);
    disk.enlarge(6 << 30)?;
    let machine = boot_disk(lab, disk, images, document, change)?;
    machine.first_answer()?;
    Ok(machine)
}

/// Boots as [`with_probe_on`], with a way in for `core`.
///
/// # Errors
/// It does not come up, the probe does not answer, or SSH does not open.
pub fn operated_with_probe_on(
    lab: &Lab,
    disk: DiskFile,
    keys: &Keys,
    more: &str,
    change: impl FnOnce(&mut MachineSpec),
) -> Result<(Provisioned, Client)> {
    let port = free_port()?;
    let machine = with_probe_on(lab, disk, &format!("{more}\n\n{}", keys.section()?), |spec| {
        let way_in = Forward {
            protocol: Protocol::Tcp,
            host: port,
            guest: 22,
        };
        spec.forwards.get_or_insert_default().push(way_in);
        change(spec);
    })?;
    let (client, _) = Client::trusting(keys, &machine.guest, 0, port)?;
    Ok((machine, client))
}

impl Provisioned {
    /// Waits for the first answer.
    ///
    /// # Errors
    /// It does not come in time.
    pub fn first_answer(&self) -> Result<()> {
        let outcome = get_within(self.port, "/ok", FIRST_ANSWER).map(drop);
        outcome.with_context(|| format!("console:\n{}", self.guest.machine.tail()))
    }

    /// Asks the probe.
    ///
    /// # Errors
    /// It does not answer, or answers with a failure.
    pub fn ask(&self, target: &str) -> Result<String> {
        get(self.port, target)
    }

    /// The forwarded port on the host.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}
