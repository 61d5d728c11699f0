//! The boot race: alternating boots of Keelson, of Debian with podman and of Debian with docker, on the same QEMU,
//! firmware and machine; then memory at idle and sizes.

mod run;
mod system;

use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};
use keelson_os_build::cache::Cache;
use keelson_qemu_tests::registry::probe;
use keelson_qemu_tests::{Environment, Extent, Lab};

use crate::Settings;
use crate::peer::{self, Peer};
use crate::report::{Column, Report, Row};
use run::Times;
use system::System;

/// What one boot gives, in the order it happens.
const MILESTONES: [&str; 5] = [
    "firmware",
    "kernel to init",
    "PID 1 of the real root",
    "first container",
    "first HTTP answer",
];

/// Milestones before this one are the same for everyone, firmware and kernel.
const DRAWN_FROM: usize = 2;

/// Runs the race and reports it.
pub fn race(settings: &Settings) -> Result<()> {
    let environment = Environment::for_measuring(Extent::Short)?;
    let lab = Lab::new(&environment, "bench-boot")?;
    let systems = prepare(&lab, settings)?;
    let mut boots: Vec<Vec<Times>> = systems.iter().map(|_| Vec::new()).collect();
    // Alternating, so that a busy minute of the host hits everyone.
    for turn in 1..=settings.runs {
        for (system, times) in systems.iter().zip(&mut boots) {
            let measured = run::boot(&lab, system, settings)?;
            println!(
                "{turn}/{} {:<22} {}",
                settings.runs,
                system.title,
                measured.line(&MILESTONES)
            );
            times.push(measured);
        }
    }
    let mut report = Report::new(
        "From power on to a container",
        &format!(
            "{} boots in QEMU without acceleration, {} processors, 1 GiB",
            settings.runs, settings.processors
        ),
        systems.iter().map(|system| system.title.to_owned()).collect(),
    );
    for (index, name) in MILESTONES.iter().enumerate() {
        let cpu = row(name, "QEMU CPU s", &boots, |times| times.cpu.get(index));
        report.add(if index < DRAWN_FROM { cpu } else { cpu.drawn() });
        let wall = row(name, "wall s", &boots, |times| times.wall.get(index));
        report.add(if *name == "first container" { wall.drawn() } else { wall });
    }
    report.add(idle(&lab, &systems, settings)?.drawn());
    report.add(sizes(&systems)?.drawn());
    report.publish(settings)?;
    std::fs::remove_dir_all(lab.directory()).context("remove the work folder")
}

fn prepare(lab: &Lab, settings: &Settings) -> Result<Vec<System>> {
    let cache = Cache::of_user()?;
    let image = probe()?;
    let mut systems = Vec::new();
    if settings.races("keelson") {
        systems.push(System::keelson(lab, settings)?);
    }
    for peer in [Peer::Podman, Peer::Docker] {
        if !settings.races(peer.name()) {
            continue;
        }
        let disk = peer::disk(&cache, peer, &image).with_context(|| peer.title())?;
        systems.push(System::peer(lab, peer, &disk, settings)?);
    }
    Ok(systems)
}

fn row(name: &str, unit: &str, boots: &[Vec<Times>], pick: impl Fn(&Times) -> Option<&f64>) -> Row {
    let columns = boots
        .iter()
        .map(|times| Column::of(times.iter().filter_map(&pick).copied().collect()))
        .collect();
    Row::new(name, unit, columns)
}

fn idle(lab: &Lab, systems: &[System], settings: &Settings) -> Result<Row> {
    let mut columns = Vec::new();
    for system in systems {
        columns.push(Column::of(vec![run::idle(lab, system, settings)?]));
    }
    Ok(Row::new(
        "in use with nothing to run (MemTotal − MemFree)",
        "MB",
        columns,
    ))
}

/// Space that the disk's file takes, with the image of the race imported.
fn sizes(systems: &[System]) -> Result<Row> {
    let allocated =
        |system: &System| -> Result<f64> { Ok(system.disk.path().metadata()?.blocks() as f64 * 512.0 / 1e6) };
    let columns = systems.iter().map(|system| Ok(Column::of(vec![allocated(system)?])));
    Ok(Row::new("disk, allocated", "MB", columns.collect::<Result<_>>()?))
}
