//! A system of the boot race, brought to where it is measured: identities made, the image in its engine's store.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keelson_os_build::qemu::Disk;
use keelson_qemu_tests::fetch::{free_port, get_within};
use keelson_qemu_tests::registry::{Images, seed};
use keelson_qemu_tests::{DiskFile, Lab};

use super::run::{FIRST, forward};
use crate::Settings;
use crate::peer::Peer;

/// Longest wait for a boot; docker under a loaded host takes minutes.
pub const PATIENCE: Duration = Duration::from_secs(900);

/// What is booted, and what it says when.
#[derive(Debug)]
pub struct System {
    /// Name for people.
    pub title: &'static str,
    /// File name part.
    pub name: &'static str,
    /// Its disk.
    pub disk: DiskFile,
    /// The disk without anything to run, for memory at idle.
    pub idle: DiskFile,
    /// Console lines of the milestones before the containers.
    pub marks: [&'static str; 3],
    /// Line that tells that it is up.
    pub up: &'static str,
    /// Words for its kernel; ours takes none, and peers need one that ours has.
    pub words: &'static [&'static str],
    /// Words that keep its containers from starting.
    pub idle_words: &'static [&'static str],
}

impl System {
    /// Keelson with two declared containers, pulled and run once.
    pub fn keelson(lab: &Lab, settings: &Settings) -> Result<System> {
        let images = Images::with_probe(lab.directory())?;
        let first = images.probe_section(
            "first",
            &["mark", "/dev/ttyS0", FIRST],
            "network = \"none\"\nprivileged = true\nrestart = \"no\"",
        );
        let web = images.probe_section("web", &["serve", "80"], "ports = [\"80:80\"]\nrestart = \"always\"");
        let volume = seed(lab.directory(), "bench", &format!("{}{first}{web}", images.section()))?;
        let (disk, idle) = (lab.disk("keelson")?, lab.disk("keelson-idle")?);
        let port = free_port()?;
        let guest = lab.boot("keelson-first-boot", &disk, |spec| {
            spec.cpus = settings.processors;
            spec.disks.push(Disk::read_only(&volume, "seed"));
            spec.forwards = Some(vec![forward(port)]);
        })?;
        get_within(port, "/ok", PATIENCE).context("the first boot")?;
        guest.power_off()?;
        disk.show_kernel_log()?;
        lab.boot("keelson-idle-first-boot", &idle, |spec| spec.cpus = settings.processors)?
            .power_off()?;
        Ok(System {
            title: "Keelson",
            name: "keelson",
            disk,
            idle,
            marks: ["BdsDxe: starting", "keelson: initramfs stage", "keelson: system stage"],
            up: "keelson: boot-complete",
            words: &[],
            idle_words: &[],
        })
    }

    /// A peer from its pristine disk: the first boot imports the image and powers off.
    pub fn peer(lab: &Lab, peer: Peer, pristine: &Path, settings: &Settings) -> Result<System> {
        let name = peer.name();
        let disk = DiskFile::copy(pristine, &lab.directory().join(format!("{name}.img")))?;
        let mut guest = lab.start(&format!("{name}-first-boot"), &disk, |spec| {
            spec.cpus = settings.processors
        })?;
        guest
            .machine
            .wait_for(0, "bench: imported", PATIENCE)
            .context("import the image")?;
        let end = guest.machine.wait_for_end(PATIENCE)?;
        ensure!(end.success(), "{name} did not power off");
        let idle = DiskFile::copy(disk.path(), &lab.directory().join(format!("{name}-idle.img")))?;
        Ok(System {
            title: peer.title(),
            name,
            disk,
            idle,
            marks: ["BdsDxe: starting", "bench: initramfs", "bench: real root"],
            up: "bench: up",
            words: &["no_timer_check"],
            idle_words: &[
                "no_timer_check",
                "systemd.mask=bench-first.service",
                "systemd.mask=bench-web.service",
            ],
        })
    }
}
