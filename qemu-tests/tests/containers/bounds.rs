//! A fork bomb, a memory hog and a container that fills the disk without any limit of its own, all at once.

use std::time::Duration;

use anyhow::{Result, ensure};
use keelson_image_layout::EntryName;
use keelson_qemu_tests::fetch::until;
use keelson_qemu_tests::registry::Images;
use keelson_qemu_tests::{Environment, Lab, journal};

use keelson_qemu_tests::provisioned::{Provisioned, boot_disk};

/// How long the disk hog may take to be stopped.
const FILLED: Duration = Duration::from_secs(180);

pub fn hostile(environment: &Environment) -> Result<()> {
    Lab::run(environment, "hostile", |lab| {
        let images = Images::with_probe(lab.directory())?;
        // As small as the image is, so that it is soon full.
        let machine = boot_disk(lab, lab.disk("system")?, images, document, |_| ())?;
        machine.first_answer()?;
        let up = machine.guest.wait_up(0)?;
        machine.guest.wait_for(up.end, "committed")?;
        stays_responsive(&machine)?;
        let Provisioned {
            guest, disk, images, ..
        } = machine;
        ensure!(guest.power_off()?.success(), "QEMU ended with a failure");
        ensure!(
            disk.entry(up.slot)? == EntryName::good(up.slot),
            "the slot was not committed"
        );
        // With the disk as full as containers can make it, a configuration is committed and the journal goes on.
        let changed = |images: &Images| format!("[system]\nhostname = \"changed\"\n\n{}", document(images));
        let machine = boot_disk(lab, disk, images, changed, |_| ())?;
        machine.first_answer()?;
        let console = machine.guest.machine.console().text();
        ensure!(
            console.contains("config: applied"),
            "the changed document was not applied:\n{console}"
        );
        stays_responsive(&machine)?;
        let Provisioned { guest, disk, .. } = machine;
        ensure!(
            guest.power_off()?.success(),
            "QEMU ended with a failure at the second boot"
        );
        let (clean, words) = disk.check_state()?;
        ensure!(clean, "the state file system is not clean: {words}");
        let entries = journal::entries(&disk, lab.directory())?;
        let told = entries.iter().filter(|entry| {
            entry
                .fields
                .text("MESSAGE")
                .is_some_and(|text| text.contains("disk hog stopped"))
        });
        ensure!(
            told.count() >= 2,
            "the journal does not hold what the disk hog said at both boots"
        );
        Ok(())
    })
}

/// While they press on, the host answers, its services run, and the bomb is held.
fn stays_responsive(machine: &Provisioned) -> Result<()> {
    // Full is what no longer grows: so many readings one after another, a fifth of a second apart.
    let (mut last, mut same) = (String::new(), 0);
    let readings = || {
        let now = machine.ask("/disk?/proc/1/root/state")?;
        same = if now == last { same + 1 } else { 0 };
        last.clone_from(&now);
        Ok((now.trim().parse::<u64>().unwrap_or(0), same))
    };
    until("a full disk", FILLED, readings, |(percent, same)| {
        *percent >= 70 && *same >= 40
    })?;
    for _ in 0..10 {
        until(
            "an answer under pressure",
            Duration::from_secs(60),
            || machine.ask("/ok"),
            |answer| answer == "ok\n",
        )?;
    }
    let processes = machine.ask("/processes")?;
    for name in ["keelson-journal", "keelson-netd", "keelson-runtime"] {
        ensure!(
            processes.lines().any(|line| line.split(' ').nth(1) == Some(name)),
            "{name} is gone:\n{processes}"
        );
    }
    let bombs = processes
        .lines()
        .filter(|line| line.split(' ').nth(1) == Some("probe"))
        .count();
    ensure!((60..=140).contains(&bombs), "the fork bomb has {bombs} processes");
    let written = machine.ask("/write?/proc/1/root/state/boot/room")?;
    ensure!(written == "written\n", "the system itself has no room left: {written}");
    Ok(())
}

fn document(images: &Images) -> String {
    [
        images.probe_section("probe", &["serve", "80"], keelson_qemu_tests::provisioned::AS_HOST),
        images.probe_section("bomb", &["fork-bomb"], "limits = { pids = 100, memory = \"64M\" }"),
        images.probe_section("hog", &["memory-hog"], "limits = { memory = \"64M\" }"),
        images.probe_section("filler", &["disk-hog", "/filled"], ""),
    ]
    .concat()
}
