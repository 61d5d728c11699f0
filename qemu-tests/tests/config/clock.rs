//! Time without a battery.

use anyhow::{Context, Result, ensure};
use keelson_qemu_tests::{Environment, Lab, journal};

pub fn starts_at_release(environment: &Environment) -> Result<()> {
    Lab::run(environment, "clock-1970", |lab| {
        let disk = lab.disk("system")?;
        let guest = lab.boot("guest", &disk, |spec| {
            spec.clock_base = Some("1970-01-02T00:00:00".into());
            spec.forwards = None;
        })?;
        let up = guest.wait_up(0)?;
        guest.wait_for(up.end, "committed")?;
        guest.power_off()?;
        let last = journal::entries(&disk, lab.directory())?
            .pop()
            .context("the journal is empty")?;
        let year = 1970 + last.realtime / 1_000_000 / 31_557_600;
        ensure!(year >= 2026, "the last entry of the journal is of {year}");
        Ok(())
    })
}
