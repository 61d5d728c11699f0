//! The metal flavour on the devices of a real machine.

use anyhow::{Context, Result, ensure};
use keelson_image_layout::Slot;
use keelson_os_build::flavour::Flavour;
use keelson_os_build::qemu::arguments::{Bus, Card};
use keelson_os_build::qemu::{Disk, MachineSpec};
use keelson_qemu_tests::bare::Bare;
use keelson_qemu_tests::registry::seed;
use keelson_qemu_tests::ssh::{Client, Keys, reachable};
use keelson_qemu_tests::{DiskFile, Environment, Lab, flavour};
use serde_json::Value;

/// What QEMU's own network gives its one guest.
const ADDRESS: &str = "10.0.2.15";

/// What devices say of themselves, and the module each must find: those of QEMU and those it does not have.
const DEVICES: [(&str, &str); 9] = [
    ("pci:v00008086d0000100Esv", "e1000"),
    ("pci:v00008086d000010D3sv", "e1000e"),
    ("pci:v00008086d000010C9sv", "igb"),
    ("pci:v00008086d000010FBsv", "ixgbe"),
    ("pci:v*d*sv*sd*bc01sc06i01", "ahci"),
    ("pci:v*d*sv*sd*bc01sc08i02", "nvme"),
    ("pci:v*d*sv*sd*bc0Csc03i30", "xhci_pci"),
    ("usb:v*p*d*dc*dsc*dp*ic08isc06ip50in", "usb_storage"),
    ("usb:v*p*d*dc*dsc*dp*ic08isc06ip62in", "uas"),
];

/// On a machine that does not call itself virtual, so that the boot loader leaves its times.
pub fn ahci_and_e1000e(environment: &Environment) -> Result<()> {
    Lab::run(environment, "metal", |lab| {
        let disk = flavour::build(lab, Flavour::Metal)?;
        every_device_finds_its_module(&disk)?;
        let bare = Bare::new(lab.directory())?;
        comes_up_and(
            lab,
            &disk,
            (Bus::Ahci, Card::E1000e),
            |spec| bare.fit(spec),
            firmware_and_loader_are_told,
        )
    })
}

/// The document comes on a stick of the other protocol in turn.
pub fn other_devices(environment: &Environment) -> Result<()> {
    Lab::run(environment, "metal-devices", |lab| {
        let image = flavour::build(lab, Flavour::Metal)?;
        for (bus, card) in [
            (Bus::Nvme, Card::E1000),
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
    comes_up_and(lab, disk, (bus, card), |_| (), |_| Ok(()))
}

fn comes_up_and(
    lab: &Lab,
    disk: &DiskFile,
    (bus, card): (Bus, Card),
    change: impl FnOnce(&mut MachineSpec),
    look: impl FnOnce(&Client) -> Result<()>,
) -> Result<()> {
    let name = format!("{bus:?}-{card:?}").to_lowercase();
    let keys = Keys::make(&lab.directory().join(&name))?;
    let seed = seed(lab.directory(), &name, &format!("schema = 1\n{}", keys.section()?))?;
    let (guest, client) = reachable(lab, &name, disk, &keys, |spec| {
        spec.disks.iter_mut().for_each(|disk| disk.bus = bus);
        spec.disks.push(Disk {
            bus: if bus == Bus::Nvme { Bus::Uas } else { Bus::Usb },
            ..Disk::read_only(&seed, "seed")
        });
        spec.card = card;
        change(spec);
    })?;
    let status = client.ssh("core", "core", &["status"])?;
    ensure!(status.output.contains(ADDRESS), "{name}: {status:?}");
    look(&client)?;
    guest.power_off()?;
    Ok(())
}

/// The timeline begins with the firmware, and the loader follows it.
fn firmware_and_loader_are_told(client: &Client) -> Result<()> {
    let answer = client.ssh("core", "core", &["boot", "--json"])?;
    let boot: Value = serde_json::from_str(&answer.output).with_context(|| format!("{answer:?}"))?;
    ensure!(boot["zero"] == "firmware", "{boot:#}");
    let spans = boot["spans"].as_array().context("spans")?;
    let span = |phase: &str| {
        let span = spans.iter().find(|span| span["phase"] == phase);
        let span = span.with_context(|| format!("no {phase} in {boot:#}"))?;
        let moment = |name: &str| span[name].as_u64().with_context(|| format!("{phase} has no {name}"));
        anyhow::Ok((moment("start_us")?, moment("end_us")?))
    };
    let (firmware, loader, kernel) = (span("firmware")?, span("loader")?, span("kernel")?);
    ensure!(
        firmware.0 == 0 && 0 < firmware.1 && firmware.1 == loader.0 && loader.0 < loader.1 && loader.1 == kernel.0,
        "{boot:#}"
    );
    let people = client.ssh("core", "core", &["boot"])?.output;
    ensure!(people.contains("after the firmware started"), "{people}");
    Ok(())
}

/// The image has each module, and its index leads there from the device.
fn every_device_finds_its_module(disk: &DiskFile) -> Result<()> {
    let text = |name: &str| -> Result<String> { Ok(String::from_utf8(disk.root_file(Slot::A, name)?)?) };
    let (aliases, files) = (text("/modules.alias")?, text("/modules.dep")?);
    for (device, module) in DEVICES {
        let found = aliases.lines().any(|line| {
            line.strip_prefix("alias ")
                .is_some_and(|line| line.starts_with(device) && line.ends_with(&format!(" {module}")))
        });
        ensure!(found, "no alias leads from {device} to {module}");
        let [dashed, plain] = [module.replace('_', "-"), module.to_owned()];
        let there = files.lines().filter_map(|line| line.split(':').next()).any(|path| {
            let name = path.rsplit('/').next().unwrap_or_default().split('.').next();
            name == Some(dashed.as_str()) || name == Some(plain.as_str())
        });
        ensure!(there, "the image has no module {module}");
    }
    Ok(())
}
