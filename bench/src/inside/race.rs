//! The race of one engine: containers that end at once, containers that stay, the runtime alone, a pull.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::api::Api;
use crate::booked::{memory, taken};

/// Containers whose mean is one measurement.
const RUNS: u32 = 20;
/// Containers that stay, whose mean is one measurement of memory.
const IDLE: u32 = 20;
/// Until engine and containers have settled.
const SETTLE: Duration = Duration::from_secs(3);

/// Everything, by name.
pub fn run(api: &Api, engine: &str, registry: &str) -> Result<BTreeMap<&'static str, f64>> {
    let driver = api.storage_driver()?;
    // An engine that finds no overlay copies whole layers, which none of its users would put up with.
    ensure!(driver.starts_with("overlay"), "{engine} keeps layers with {driver:?}");
    let image = format!("{registry}/probe");
    api.pull(&image).context("pull the probe")?;
    let image = format!("{image}:1");
    let mut figures = BTreeMap::new();
    for (network, cpu, wall) in [("none", "none", "none-wall"), ("bridge", "bridge", "bridge-wall")] {
        // The first one pays for what stays: modules, the bridge, caches.
        life(api, &image, network)?;
        let (used, passed) = taken(|| (0..RUNS).try_for_each(|_| life(api, &image, network)))?;
        figures.insert(cpu, used * 1000.0 / f64::from(RUNS));
        figures.insert(wall, passed * 1000.0 / f64::from(RUNS));
    }
    figures.insert("idle", idle(api, &image)?);
    figures.insert("runtime", runtime(engine)?);
    let large = format!("{registry}/large");
    let (used, _) = taken(|| api.pull(&large))?;
    figures.insert("pull", used);
    api.remove_image(&large)?;
    Ok(figures)
}

fn life(api: &Api, image: &str, network: &str) -> Result<()> {
    let id = api.create(image, &["/probe", "orphan"], network)?;
    api.start(&id)?;
    api.wait(&id)?;
    api.remove(&id)
}

/// What each of some waiting containers adds, in MB.
fn idle(api: &Api, image: &str) -> Result<f64> {
    std::thread::sleep(SETTLE);
    let before = memory()?;
    let mut ids = Vec::new();
    for _ in 0..IDLE {
        let id = api.create(image, &["/probe", "serve", "80"], "none")?;
        api.start(&id)?;
        ids.push(id);
    }
    std::thread::sleep(SETTLE);
    let after = memory()?;
    ids.iter().try_for_each(|id| api.remove(id))?;
    Ok((after - before) / f64::from(IDLE))
}

/// A program that ends at once, run by the OCI runtime without an engine; CPU ms.
fn runtime(engine: &str) -> Result<f64> {
    let program = match engine {
        "keelson" => "keelson-oci",
        "docker" => "runc",
        _ => "crun",
    };
    let bundle = Path::new("/tmp/bundle");
    fs::create_dir_all(bundle.join("rootfs"))?;
    fs::copy("/usr/bin/bench-engine", bundle.join("rootfs/none"))?;
    let made = Command::new("crun").arg("spec").current_dir(bundle).status()?;
    ensure!(made.success(), "crun spec failed");
    let config = bundle.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&config)?)?;
    spec["process"]["args"] = json!(["/none", "--version"]);
    spec["process"]["terminal"] = json!(false);
    fs::write(&config, spec.to_string())?;
    let once = |number: u32| -> Result<()> {
        let id = format!("bench{number}");
        let output = Command::new(program)
            .args(["run", "--bundle"])
            .arg(bundle)
            .arg(&id)
            .output()?;
        ensure!(
            output.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    };
    once(RUNS)?;
    let (used, _) = taken(|| (0..RUNS).try_for_each(once))?;
    Ok(used * 1000.0 / f64::from(RUNS))
}
