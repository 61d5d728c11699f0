//! The engines' race: Keelson's engine, docker and podman, one after the other in namespaces of their own in one tree,
//! on the kernel this host has booted. Processor time is what the kernel booked on the control group that everything
//! of an engine runs in, containers included.

mod group;
mod image;
mod network;
mod stage;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use keelson_os_build::cache::Cache;
use keelson_qemu_tests::registry::{Images, probe};

use crate::Settings;
use crate::peer;
use crate::report::{Column, Report, Row};
use stage::Stage;

/// Engines in the order of the columns: what `bench-engine` calls them, and their names for people.
const ENGINES: [(&str, &str); 3] = [("keelson", "Keelson"), ("podman", "podman"), ("docker", "docker")];
/// What is measured, in the order of the rows: name in `bench-engine`'s answer, name for people, unit.
const MEASURES: [(&str, &str, &str); 7] = [
    ("none", "create, start, wait, remove without network", "CPU ms"),
    ("none-wall", "the same, wall", "ms"),
    ("bridge", "the same on the bridge", "CPU ms"),
    ("bridge-wall", "the same, wall", "ms"),
    ("runtime", "the OCI runtime alone (keelson-oci, crun, runc)", "CPU ms"),
    ("idle", "an idle container (PSS of all processes)", "MB"),
    ("pull", "pull of the large image", "CPU s"),
];

/// Runs the race and reports it.
pub fn race(settings: &Settings) -> Result<()> {
    let cache = Cache::of_user()?;
    let tree = peer::engines(&cache)?;
    let work = tempfile::tempdir_in(cache.folder("work")?)?;
    let images = Images::start(work.path())?;
    images.push("probe", &probe()?)?;
    let large = image::large(&cache)?;
    let megabytes = large.blobs.iter().map(|blob| blob.bytes.len()).sum::<usize>() as f64 / 1e6;
    images.push("large", &large)?;
    drop(large);
    drop(images);
    let stage = Stage::new(&tree, work.path())?;
    let engines = ENGINES.iter().filter(|(engine, _)| settings.races(engine));
    let engines: Vec<_> = engines.collect();
    let mut measured: Vec<BTreeMap<String, Vec<f64>>> = vec![BTreeMap::new(); engines.len()];
    for turn in 1..=settings.runs {
        for ((engine, title), figures) in engines.iter().zip(&mut measured) {
            let answer = network::with_own_network(|| {
                let images = Images::start(work.path())?;
                stage.run(engine, images.port())
            })
            .with_context(|| (*title).to_owned())?;
            println!("{turn}/{} {title:<8} {answer:?}", settings.runs);
            for (name, value) in answer {
                figures.entry(name).or_default().push(value);
            }
        }
    }
    let mut report = Report::new(
        "A container's life",
        &format!(
            "{} runs on one kernel, time booked on the engine's control group; large image {megabytes:.0} MB",
            settings.runs
        ),
        engines.iter().map(|(_, title)| (*title).to_owned()).collect(),
    );
    for (key, name, unit) in MEASURES {
        let columns = measured
            .iter()
            .map(|figures| Column::of(figures.get(key).cloned().unwrap_or_default()));
        let row = Row::new(name, unit, columns.collect());
        report.add(if key.ends_with("-wall") { row } else { row.drawn() });
    }
    report.publish(settings)
}
