//! No document, a bad one, a good one, another one.

use anyhow::{Context, Result, ensure};
use keelson_os_build::qemu::Disk;
use keelson_qemu_tests::registry::seed;
use keelson_qemu_tests::{Environment, Lab};

pub fn none(environment: &Environment) -> Result<()> {
    Lab::run(environment, "no-document", |lab| {
        let disk = lab.disk("system")?;
        let guest = lab.boot("guest", &disk, |_| ())?;
        let console = guest.machine.console().text();
        ensure!(
            console.contains("there is no document"),
            "the console does not say that there is none"
        );
        ensure!(console.contains("cidata"), "the console does not say how to give one");
        guest.power_off()?;
        Ok(())
    })
}

pub fn bad(environment: &Environment) -> Result<()> {
    const DOCUMENT: &str =
        "schema = 1\n\n[system]\nhostnam = \"web\"\n\n[container.web]\nimage = \"nginx\"\nports = [\"80:80\"]\n";
    Lab::run(environment, "bad-document", |lab| {
        let disk = lab.disk("system")?;
        let volume = seed(lab.directory(), "bad", DOCUMENT)?;
        let guest = lab.boot("guest", &disk, |spec| spec.disks.push(Disk::read_only(&volume, "seed")))?;
        let console = guest.machine.console().text();
        ensure!(
            console.contains("refused, nothing of it is applied"),
            "the console does not say that it is refused"
        );
        ensure!(console.contains("hostnam"), "the console does not show what is wrong");
        ensure!(console.contains("4:1"), "the console does not say where");
        guest.power_off()?;
        ensure!(
            disk.state_file("/config/current/machine.json").is_err(),
            "something was applied"
        );
        Ok(())
    })
}

pub fn applied(environment: &Environment) -> Result<()> {
    Lab::run(environment, "documents", |lab| {
        let disk = lab.disk("system")?;
        let first = seed(lab.directory(), "first", "schema = 1\n[system]\nhostname = \"first\"\n")?;
        let other = seed(lab.directory(), "other", "schema = 1\n[system]\nhostname = \"other\"\n")?;
        let console = |name: &str, volume: &std::path::Path, serial: &str| -> Result<String> {
            let guest = lab.boot(name, &disk, |spec| spec.disks.push(Disk::read_only(volume, serial)))?;
            let text = guest.machine.console().text();
            guest.power_off()?;
            Ok(text)
        };
        let text = console("first", &first, "seed")?;
        ensure!(text.contains("config: applied"), "the first document was not applied");
        let generation = current(&disk)?;
        ensure!(
            generation.contains("\"first\""),
            "the generation holds another name: {generation}"
        );
        let text = console("again", &first, "seed")?;
        ensure!(
            text.contains("config: unchanged"),
            "the same document is not recognised"
        );
        let text = console("other", &other, "another")?;
        ensure!(
            text.contains("found and not applied"),
            "another source was not reported"
        );
        ensure!(current(&disk)? == generation, "another source was applied");
        Ok(())
    })
}

/// The configuration in force on a disk.
fn current(disk: &keelson_qemu_tests::DiskFile) -> Result<String> {
    disk.state_file("/config/current/machine.json")
        .context("the generation in force")
}
