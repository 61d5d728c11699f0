//! A healthy image: comes up, commits its slot, keeps it, grows, ends clean.

use std::time::Duration;

use anyhow::{Result, ensure};
use keelson_image_layout::slot_state::State;
use keelson_image_layout::{EntryName, Part};
use keelson_qemu_tests::{DiskFile, Environment, Extent, Lab};

/// Boots a fresh disk until its slot is committed and powers off; gives the slot.
pub fn settle(lab: &Lab, disk: &DiskFile) -> Result<keelson_image_layout::Slot> {
    let guest = lab.boot("settle", disk, |_| ())?;
    let up = guest.wait_up(0)?;
    guest.wait_for(up.end, "committed")?;
    ensure!(guest.power_off()?.success(), "QEMU ended with a failure");
    Ok(up.slot)
}

pub fn comes_up(environment: &Environment) -> Result<()> {
    Lab::run(environment, "comes-up", |lab| {
        let disk = lab.disk("system")?;
        let slot = settle(lab, &disk)?;
        let state = disk.slot_state()?.state;
        ensure!(
            state.slot(slot).state == State::Good,
            "the booted slot is {:?}",
            state.slot(slot).state
        );
        ensure!(
            state.slot(slot.other()).state == State::Trial,
            "the other slot was touched"
        );
        ensure!(
            disk.entry(slot)? == EntryName::good(slot),
            "entries: {:?}",
            disk.entry_files()?
        );
        ensure!(
            disk.entry(slot.other())? == EntryName::trial(slot.other(), 3),
            "entries: {:?}",
            disk.entry_files()?
        );
        let (clean, words) = disk.check_state()?;
        ensure!(clean, "the state file system is not clean: {words}");
        let guest = lab.boot("again", &disk, |_| ())?;
        ensure!(guest.wait_up(0)?.slot == slot, "another slot at the second boot");
        guest.power_off()?;
        Ok(())
    })
}

/// Five boots and ten cuts in a full run, one and three in a short one. The moments of the cuts are spread over the
/// whole boot and the same in every run.
pub fn keeps_its_slot(environment: &Environment) -> Result<()> {
    let (boots, cuts) = if environment.extent == Extent::Full {
        (5, 10)
    } else {
        (1, 3)
    };
    Lab::run(environment, "keeps-its-slot", |lab| {
        let disk = lab.disk("system")?;
        let slot = settle(lab, &disk)?;
        for boot in 0..boots {
            let guest = lab.boot("boot", &disk, |_| ())?;
            ensure!(guest.wait_up(0)?.slot == slot, "boot {boot} took another slot");
            guest.power_off()?;
        }
        for cut in 0..cuts {
            let guest = lab.start("cut", &disk, |_| ())?;
            let moment = Duration::from_millis(1500 + 900 * cut);
            // The deadline is the point of this case: whatever was reached by then is cut off.
            let _ = guest.machine.console().wait(0, &["no such text"], moment);
            guest.cut_power();
        }
        let guest = lab.boot("last", &disk, |_| ())?;
        ensure!(guest.wait_up(0)?.slot == slot, "another slot after {cuts} power cycles");
        guest.power_off()?;
        ensure!(
            disk.slot_state()?.state.slot(slot).state == State::Good,
            "the slot is no longer good"
        );
        Ok(())
    })
}

pub fn grows(environment: &Environment) -> Result<()> {
    const LARGER: u64 = 9 << 30;
    Lab::run(environment, "grows", |lab| {
        let disk = lab.disk("system")?;
        ensure!(disk.size()? < LARGER, "the image is larger than this case expects");
        disk.enlarge(LARGER)?;
        settle(lab, &disk)?;
        let table = gpt::GptConfig::new().writable(false).open(disk.path())?;
        let state = table.partitions().get(&Part::State.number()).cloned();
        let end = state.map_or(0, |partition| (partition.last_lba + 1) * 512);
        ensure!(LARGER - end < 2 << 20, "the state partition ends at {end} of {LARGER}");
        // ext4 superblock: s_blocks_count_lo at 4, block size 4096.
        let blocks = disk.read(Part::State.start() + 1024 + 4, 4)?;
        let blocks = u32::from_le_bytes(blocks.try_into().unwrap_or_default());
        let bytes = u64::from(blocks) * 4096;
        ensure!(
            end - Part::State.start() - bytes < 4 << 20,
            "the file system has {bytes} bytes"
        );
        let (clean, words) = disk.check_state()?;
        ensure!(clean, "not clean after growing: {words}");
        Ok(())
    })
}
