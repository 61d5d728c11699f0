//! Power cuts, replayed from a recording of every write: whatever the moment, the machine comes up again.

use anyhow::{Context, Result, ensure};
use keelson_image_layout::slot_state::State;
use keelson_image_layout::{Part, Slot};
use keelson_qemu_tests::write_log::{Cut, WriteLog, choose_cuts};
use keelson_qemu_tests::{DiskFile, Environment, Extent, Lab};

/// Fixed, so that a failure can be had again.
const SEED: u64 = 0x6b65_656c;

/// First boot of an enlarged disk: identities, growth of the state partition, commit of the slot.
pub fn first_boot(environment: &Environment) -> Result<()> {
    let count = if environment.extent == Extent::Full { 24 } else { 4 };
    Lab::run(environment, "cut-first-boot", |lab| {
        let base = lab.disk("base")?;
        base.enlarge(6 << 30)?;
        let log = record(lab, &base)?;
        let fresh = lab.disk("fresh")?;
        fresh.enlarge(6 << 30)?;
        every_prefix_has_a_record(&log, &fresh)?;
        for cut in choose_cuts(&log.entries, count, SEED) {
            comes_up_after(lab, &log, &cut).with_context(|| format!("cut at {}", cut.label))?;
        }
        Ok(())
    })
}

/// Boots a disk with every write recorded, until the slot is committed, and powers off.
fn record(lab: &Lab, disk: &DiskFile) -> Result<WriteLog> {
    let path = lab.directory().join("writes.log");
    std::fs::write(&path, [])?;
    let guest = lab.boot("record", disk, |spec| {
        spec.disks
            .iter_mut()
            .for_each(|disk| disk.write_log = Some(path.clone()));
    })?;
    let up = guest.wait_up(0)?;
    guest.wait_for(up.end, "committed")?;
    let console = guest.machine.console().text();
    ensure!(!console.contains("I/O error"), "the recording itself caused I/O errors");
    guest.power_off()?;
    WriteLog::open(&path)
}

fn comes_up_after(lab: &Lab, log: &WriteLog, cut: &Cut) -> Result<()> {
    let disk = lab.disk("cut")?;
    disk.enlarge(6 << 30)?;
    log.apply(cut, &disk)?;
    let guest = lab.boot("cut", &disk, |_| ())?;
    let up = guest.wait_up(0)?;
    let console = guest.machine.console().text();
    ensure!(!console.contains("degraded"), "the machine came up degraded");
    guest.wait_for(up.end, "committed")?;
    guest.power_off()?;
    let (clean, words) = disk.check_state()?;
    ensure!(clean, "the state file system is not clean: {words}");
    Ok(())
}

/// At every point of the recording one copy of the slot-state record is valid, and no slot is good before the machine
/// said so.
fn every_prefix_has_a_record(log: &WriteLog, disk: &DiskFile) -> Result<()> {
    let (start, length) = (Part::SlotState.start(), Part::SlotState.size().unwrap_or_default());
    let touching = (0..log.entries.len()).filter(|index| {
        log.entries
            .get(*index)
            .is_some_and(|entry| entry.offset < start + length && start < entry.offset + entry.length)
    });
    let mut goods = Vec::new();
    for index in touching {
        log.apply(
            &Cut {
                applied: vec![index],
                label: String::new(),
            },
            disk,
        )?;
        let state = disk.slot_state().with_context(|| format!("after entry {index}"))?.state;
        goods.push(
            Slot::ALL
                .iter()
                .filter(|slot| state.slot(**slot).state == State::Good)
                .count(),
        );
    }
    ensure!(goods.last() == Some(&1), "the recording ends with {goods:?} good slots");
    ensure!(goods.is_sorted(), "a good slot was lost on the way: {goods:?}");
    Ok(())
}
