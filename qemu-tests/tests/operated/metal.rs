//! The metal flavour on the devices of a real machine.

use anyhow::{Result, ensure};
use keelson_os_build::flavour::Flavour;
use keelson_os_build::qemu::Disk;
use keelson_os_build::qemu::arguments::{Bus, Card};
use keelson_qemu_tests::registry::seed;
use keelson_qemu_tests::ssh::{Keys, reachable};
use keelson_qemu_tests::{DiskFile, Environment, Lab, flavour};

/// What QEMU's own network gives its one guest.
const ADDRESS: &str = "10.0.2.15";

pub fn ahci_and_e1000e(environment: &Environment) -> Result<()> {
    Lab::run(environment, "metal", |lab| {
        let disk = flavour::build(lab, Flavour::Metal)?;
        comes_up(lab, &disk, Bus::Ahci, Card::E1000e)
    })
}

pub fn other_devices(environment: &Environment) -> Result<()> {
    Lab::run(environment, "metal-devices", |lab| {
        let image = flavour::build(lab, Flavour::Metal)?;
        for (bus, card) in [
            (Bus::Nvme, Card::E1000e),
            (Bus::Usb, Card::E1000e),
            (Bus::VirtioBlk, Card::Virtio),
        ] {
            let disk = DiskFile::copy(image.path(), &lab.directory().join("system.img"))?;
            comes_up(lab, &disk, bus, card)?;
        }
        Ok(())
    })
}

/// Boots until the slot is committed, the document on a stick applied, and the machine answers from outside
/// by its network card.
pub fn comes_up(lab: &Lab, disk: &DiskFile, bus: Bus, card: Card) -> Result<()> {
    let name = format!("{bus:?}-{card:?}").to_lowercase();
    let keys = Keys::make(&lab.directory().join(&name))?;
    let seed = seed(lab.directory(), &name, &format!("schema = 1\n{}", keys.section()?))?;
    let (guest, client) = reachable(lab, &name, disk, &keys, |spec| {
        spec.disks.iter_mut().for_each(|disk| disk.bus = bus);
        spec.disks.push(Disk {
            bus: Bus::Usb,
            ..Disk::read_only(&seed, "seed")
        });
        spec.card = card;
    })?;
    let status = client.ssh("core", "core", &["status"])?;
    ensure!(status.output.contains(ADDRESS), "{name}: {status:?}");
    guest.power_off()?;
    Ok(())
}
