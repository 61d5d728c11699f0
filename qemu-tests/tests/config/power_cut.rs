//! Power cuts while a configuration is committed.

use anyhow::{Context, Result, ensure};
use keelson_os_build::qemu::Disk;
use keelson_qemu_tests::registry::seed;
use keelson_qemu_tests::write_log::{WriteLog, choose_cuts};
use keelson_qemu_tests::{Environment, Extent, Lab};

const SEED: u64 = 0x6366_6721;

/// A settled machine without a configuration gets its first one; whatever the moment of the cut, the next boot has
/// the whole of it, and the file system needs no repair.
pub fn commit(environment: &Environment) -> Result<()> {
    let count = if environment.extent == Extent::Full { 16 } else { 3 };
    Lab::run(environment, "cut-config", |lab| {
        let base = lab.disk("base")?;
        let guest = lab.boot("settle", &base, |_| ())?;
        let up = guest.wait_up(0)?;
        guest.wait_for(up.end, "committed")?;
        guest.power_off()?;
        let volume = seed(lab.directory(), "first", "schema = 1\n[system]\nhostname = \"first\"\n")?;
        let recorded = keelson_qemu_tests::DiskFile::copy(base.path(), &lab.directory().join("recorded.img"))?;
        let path = lab.directory().join("writes.log");
        std::fs::write(&path, [])?;
        let guest = lab.boot("record", &recorded, |spec| {
            spec.disks
                .iter_mut()
                .for_each(|disk| disk.write_log = Some(path.clone()));
            spec.disks.push(Disk::read_only(&volume, "seed"));
        })?;
        ensure!(
            !guest.machine.console().text().contains("I/O error"),
            "the recording itself caused I/O errors"
        );
        guest.power_off()?;
        let log = WriteLog::open(&path)?;
        for cut in choose_cuts(&log.entries, count, SEED) {
            let disk = keelson_qemu_tests::DiskFile::copy(base.path(), &lab.directory().join("cut.img"))?;
            log.apply(&cut, &disk)?;
            let guest = lab.boot("cut", &disk, |spec| spec.disks.push(Disk::read_only(&volume, "seed")))?;
            let text = guest.machine.console().text();
            guest.power_off()?;
            let whole = text.contains("config: applied") || text.contains("config: unchanged");
            ensure!(
                whole && !text.contains("degraded"),
                "after a cut at {}:\n{text}",
                cut.label
            );
            let generation = disk.state_file("/config/current/machine.json").context(cut.label)?;
            ensure!(generation.contains("\"first\""), "the generation holds {generation}");
        }
        Ok(())
    })
}
