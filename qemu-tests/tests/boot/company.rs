//! Machines beside one another, and disks on other controllers.

use anyhow::{Result, ensure};
use keelson_os_build::qemu::Disk;
use keelson_os_build::qemu::arguments::Bus;
use keelson_qemu_tests::state::Identities;
use keelson_qemu_tests::{DiskFile, Environment, Lab};

use crate::healthy::settle;

pub fn identities(environment: &Environment) -> Result<()> {
    Lab::run(environment, "identities", |lab| {
        let (first, second) = (lab.disk("first")?, lab.disk("second")?);
        settle(lab, &first)?;
        settle(lab, &second)?;
        let first_is = Identities::read(&first)?;
        let shared = first_is.shared_with(&Identities::read(&second)?);
        ensure!(shared.is_empty(), "two machines share: {}", shared.join(", "));
        // Identities are made once: but for the seed, which every boot replaces, they stay.
        settle(lab, &first)?;
        let again = Identities {
            seed: first_is.seed.clone(),
            ..Identities::read(&first)?
        };
        ensure!(again == first_is, "identities changed at the second boot");
        Ok(())
    })
}

pub fn second_disk(environment: &Environment) -> Result<()> {
    Lab::run(environment, "second-disk", |lab| {
        let (first, second) = (lab.disk("first")?, lab.disk("second")?);
        settle(lab, &second)?;
        let before = fingerprint(&second)?;
        let with_second = |spec: &mut keelson_os_build::qemu::MachineSpec| {
            // In front of the system disk, where a search by device name would find it first.
            spec.disks.insert(0, Disk::new(second.path(), "other"));
        };
        let guest = lab.boot("both", &first, with_second)?;
        let up = guest.wait_up(0)?;
        guest.wait_for(up.end, "committed")?;
        guest.power_off()?;
        let guest = lab.boot("both", &first, with_second)?;
        guest.power_off()?;
        ensure!(fingerprint(&second)? == before, "the second disk was written");
        Ok(())
    })
}

pub fn controllers(environment: &Environment) -> Result<()> {
    for (name, bus) in [("scsi", Bus::VirtioScsi), ("ahci", Bus::Ahci), ("nvme", Bus::Nvme)] {
        Lab::run(environment, &format!("controller-{name}"), |lab| {
            let disk = lab.disk("system")?;
            let guest = lab.boot("guest", &disk, |spec| {
                spec.disks.iter_mut().for_each(|disk| disk.bus = bus)
            })?;
            let up = guest.wait_up(0)?;
            guest.wait_for(up.end, "committed")?;
            guest.power_off()?;
            Ok(())
        })?;
    }
    Ok(())
}

/// A checksum over the whole disk: enough to notice a write, not to withstand an attacker.
fn fingerprint(disk: &DiskFile) -> Result<u64> {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    let chunk = 16 << 20;
    let size = disk.size()?;
    for at in (0..size).step_by(chunk) {
        let length = usize::try_from(size - at)?.min(chunk);
        hasher.write(&disk.read(at, length)?);
    }
    Ok(hasher.finish())
}
