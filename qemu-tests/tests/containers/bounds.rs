//! A fork bomb, a memory hog and a container that fills the disk, all at once.

use std::time::Duration;

use anyhow::{Result, ensure};
use keelson_image_layout::EntryName;
use keelson_qemu_tests::fetch::until;
use keelson_qemu_tests::registry::Images;
use keelson_qemu_tests::{Environment, Lab};

use crate::machine::boot;

pub fn hostile(environment: &Environment) -> Result<()> {
    Lab::run(environment, "hostile", |lab| {
        let images = Images::with_probe(lab.directory())?;
        let machine = boot(lab, images, document, |_| ())?;
        machine.first_answer()?;
        let up = machine.guest.wait_up(0)?;
        machine.guest.wait_for(up.end, "committed")?;
        // While they press on, the host still answers, and its services still run.
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
        ensure!(bombs <= 140, "the fork bomb has {bombs} processes");
        ensure!(machine.guest.power_off()?.success(), "QEMU ended with a failure");
        ensure!(
            machine.disk.entry(up.slot)? == EntryName::good(up.slot),
            "the slot was not committed"
        );
        let (clean, words) = machine.disk.check_state()?;
        ensure!(clean, "the state file system is not clean: {words}");
        Ok(())
    })
}

fn document(images: &Images) -> String {
    [
        images.probe_section("probe", &["serve", "80"], crate::machine::AS_HOST),
        images.probe_section("bomb", &["fork-bomb"], "limits = { pids = 100, memory = \"64M\" }"),
        images.probe_section("hog", &["memory-hog"], "limits = { memory = \"64M\" }"),
        images.probe_section("filler", &["disk-hog", "/filled"], "limits = { disk = \"64M\" }"),
    ]
    .concat()
}
