//! Damage on the disk: what is refused, what is remembered, and that some slot always boots by itself.

use anyhow::{Result, ensure};
use keelson_image_layout::slot_state::State;
use keelson_image_layout::{Part, Reason, Slot};
use keelson_os_build::qemu::{Disk, MachineSpec};
use keelson_qemu_tests::registry::seed;
use keelson_qemu_tests::ssh::{Keys, reachable};
use keelson_qemu_tests::{DiskFile, Environment, Lab};

use crate::healthy::settle;

pub fn superblock(environment: &Environment) -> Result<()> {
    refuses(environment, "superblock", |disk, slot| {
        disk.flip_bit(slot.root().start() + 1024 + 8)
    })
}

pub fn init(environment: &Environment) -> Result<()> {
    refuses(environment, "init", |disk, slot| {
        disk.damage_file(slot, "usr/bin/keelson-init")
    })
}

/// A committed slot is damaged; the machine must come up from the other one without help, with the reason kept.
fn refuses(environment: &Environment, name: &str, damage: impl Fn(&DiskFile, Slot) -> Result<()>) -> Result<()> {
    Lab::run(environment, &format!("damaged-{name}"), |lab| {
        let disk = lab.disk("system")?;
        let slot = settle(lab, &disk)?;
        damage(&disk, slot)?;
        let keys = Keys::make(lab.directory())?;
        let volume = seed(lab.directory(), "seed", &format!("schema = 1\n\n{}", keys.section()?))?;
        let change = |spec: &mut MachineSpec| spec.disks.push(Disk::read_only(&volume, "seed"));
        let (guest, client) = reachable(lab, "damaged", &disk, &keys, change)?;
        let up = guest.wait_up(0)?;
        ensure!(up.slot == slot.other(), "the damaged slot came up");
        let (why, people) = client.why()?;
        ensure!(
            why["cause"] == "corruption" && people.contains("corruption"),
            "{why:#}\n{people}"
        );
        guest.power_off()?;
        let state = disk.slot_state()?.state;
        let record = state.slot(slot);
        ensure!(
            record.reason == Reason::Corruption,
            "the reason kept is {:?}",
            record.reason
        );
        ensure!(record.state == State::Bad, "the damaged slot is {:?}", record.state);
        ensure!(
            disk.entry(slot)?.is_bad(),
            "the damaged slot's entry: {:?}",
            disk.entry_files()?
        );
        Ok(())
    })
}

/// Damage in a file that is read only once services run: the machine restarts with the reason kept, and takes the
/// other slot when the tries are used up.
pub fn run_time(environment: &Environment) -> Result<()> {
    Lab::run(environment, "damaged-at-run-time", |lab| {
        let disk = lab.disk("system")?;
        let slot = settle(lab, &disk)?;
        disk.damage_file(slot, "usr/bin/keelson-journald")?;
        let guest = lab.start("damaged", &disk, |_| ())?;
        let up = guest.wait_up(0)?;
        ensure!(up.slot == slot.other(), "the damaged slot came up");
        guest.power_off()?;
        let state = disk.slot_state()?.state;
        ensure!(
            state.slot(slot).reason == Reason::Corruption,
            "the reason kept is {:?}",
            state.slot(slot).reason
        );
        ensure!(state.slot(slot).tries == 0, "{} tries are left", state.slot(slot).tries);
        ensure!(
            state.slot(slot).state == State::Bad,
            "the damaged slot is {:?}",
            state.slot(slot).state
        );
        Ok(())
    })
}

/// Garbage over the beginning of the state partition, superblock included.
pub fn state(environment: &Environment) -> Result<()> {
    Lab::run(environment, "damaged-state", |lab| {
        let disk = lab.disk("system")?;
        let slot = settle(lab, &disk)?;
        let before = disk.slot_state()?.state;
        let garbage: Vec<u8> = (0..8_u32 << 20)
            .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        disk.write(Part::State.start(), &garbage)?;
        for boot in 0..2 {
            let guest = lab.boot("damaged", &disk, |_| ())?;
            ensure!(guest.wait_up(0)?.slot == slot, "boot {boot} took another slot");
            let console = guest.machine.console().text();
            ensure!(
                console.contains("degraded"),
                "the console does not say that the machine is degraded"
            );
            guest.power_off()?;
        }
        ensure!(
            disk.read(Part::State.start(), garbage.len())? == garbage,
            "the damaged partition was written"
        );
        let after = disk.slot_state()?.state;
        ensure!(
            after.slots == before.slots,
            "damage to the state partition changed the slots' record"
        );
        Ok(())
    })
}
