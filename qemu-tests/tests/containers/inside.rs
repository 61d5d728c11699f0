//! What needs a hand inside the machine: a declared container that shares the host's processes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keelson_qemu_tests::fetch::until;
use keelson_qemu_tests::{Environment, Lab};

use keelson_qemu_tests::provisioned::{AS_HOST, Provisioned, with_probe};

const PATIENCE: Duration = Duration::from_secs(60);

/// The pid of a program by name, as the kernel cuts it.
fn pid_of(machine: &Provisioned, name: &str) -> Result<u32> {
    let processes = machine.ask("/processes")?;
    let short = name.get(..15).unwrap_or(name);
    let line = processes.lines().find(|line| line.split(' ').nth(1) == Some(short));
    let pid = line
        .and_then(|line| line.split(' ').next())
        .with_context(|| format!("no {name} in\n{processes}"))?;
    Ok(pid.parse()?)
}

pub fn services_come_back(environment: &Environment) -> Result<()> {
    Lab::run(environment, "services-come-back", |lab| {
        let machine = with_probe(lab, AS_HOST)?;
        let probe = pid_of(&machine, "probe")?;
        for name in ["keelson-journald", "keelson-netd", "keelson-runtimed"] {
            let before = pid_of(&machine, name)?;
            ensure!(
                machine.ask(&format!("/kill?{name}"))?.trim() != "0",
                "{name} was not killed"
            );
            until(
                &format!("{name} came back"),
                PATIENCE,
                || pid_of(&machine, name),
                |pid| *pid != before,
            )?;
            ensure!(
                pid_of(&machine, "probe")? == probe,
                "the container was touched when {name} was killed"
            );
        }
        // The engine found its container again: it can still stop it in order.
        ensure!(machine.guest.power_off()?.success(), "QEMU ended with a failure");
        Ok(())
    })
}

pub fn orphans(environment: &Environment) -> Result<()> {
    Lab::run(environment, "orphans", |lab| {
        let machine = with_probe(lab, AS_HOST)?;
        for _ in 0..3 {
            machine.ask("/orphans?300")?;
        }
        let count = || machine.ask("/zombies")?.trim().parse::<u32>().context("a number");
        until("every orphan was reaped", PATIENCE, count, |count| *count == 0)?;
        machine.guest.power_off()?;
        Ok(())
    })
}

pub fn root(environment: &Environment) -> Result<()> {
    Lab::run(environment, "read-only-root", |lab| {
        let machine = with_probe(lab, AS_HOST)?;
        for path in [
            "/proc/1/root/usr/bin/keelson-init",
            "/proc/1/root/new",
            "/proc/1/root/usr/lib/new",
        ] {
            let answer = machine.ask(&format!("/write?{path}"))?;
            ensure!(answer.starts_with("refused"), "{path}: {answer}");
        }
        let mounts = machine.ask("/read?/proc/1/mounts")?;
        let root = mounts
            .lines()
            .find(|line| line.split(' ').nth(1) == Some("/"))
            .context("no root mount")?;
        ensure!(root.contains(" erofs ro"), "the root is mounted as {root}");
        // What is behind the mount cannot be written either.
        let device = root.split(' ').next().unwrap_or_default();
        let answer = machine.ask(&format!("/write?/proc/1/root{device}"))?;
        ensure!(answer.starts_with("refused"), "{device}: {answer}");
        machine.guest.power_off()?;
        Ok(())
    })
}
