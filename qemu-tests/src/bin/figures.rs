//! Measures the shipped image: `./just figures [--json FILE] [--runs N]`. QEMU's processor seconds until a line on the
//! console, memory at idle as the guest reports it, sizes. Medians, since the host is shared.

#![allow(clippy::print_stdout, reason = "what this program prints is what it is for")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use keelson_os_build::qemu::{Disk, Forward, Protocol};
use keelson_qemu_tests::fetch::{free_port, get, get_within};
use keelson_qemu_tests::registry::{Images, seed};
use keelson_qemu_tests::{DiskFile, Environment, Extent, Lab};
use serde_json::{Value, json};

/// Console lines in the order they appear, and what each tells.
const MARKERS: [(&str, &str); 4] = [
    ("firmware", "BdsDxe: starting"),
    ("kernel to init", "keelson: initramfs stage"),
    ("PID 1 of the real root", "keelson: system stage"),
    ("boot-complete", "keelson: boot-complete slot="),
];
/// The agreed moment for memory at idle.
const SETTLE: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(240);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("figures: {error:#}");
            ExitCode::FAILURE
        }
    }
}

struct Settings {
    json: Option<PathBuf>,
    runs: usize,
}

fn settings() -> Result<Settings> {
    let mut settings = Settings { json: None, runs: 5 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--json" => settings.json = Some(PathBuf::from(value()?)),
            "--runs" => settings.runs = value()?.parse().context("--runs takes a number")?,
            other => bail!("unknown argument {other:?}; there are --json FILE and --runs N"),
        }
    }
    Ok(settings)
}

fn run() -> Result<()> {
    let settings = settings()?;
    let environment = Environment::for_measuring(Extent::Short)?;
    let lab = Lab::new(&environment, "figures")?;
    // The first boot makes identities and grows the disk: measured are the boots after it.
    let disk = lab.disk("system")?;
    let guest = lab.boot("settle", &disk, |_| ())?;
    guest.wait_for(0, "keelson: committed")?;
    guest.power_off()?;
    disk.show_kernel_log()?;
    let mut boots = Vec::new();
    for _ in 0..settings.runs {
        boots.push(boot(&lab, &disk)?);
    }
    let idle = idle_memory(&lab, &disk)?;
    let programs = programs_memory(&lab)?;
    let record: Value = serde_json::from_slice(&std::fs::read(record_of(&environment.disk))?)?;
    let mut figures = json!({ "runs": settings.runs, "processors": 1, "memory_mib": 1024 });
    for (index, (name, _)) in MARKERS.iter().enumerate() {
        let column = boots.iter().filter_map(|boot| boot.get(index).copied()).collect();
        report(&mut figures, &format!("{name}, QEMU CPU seconds"), median(column));
    }
    report(&mut figures, "idle, MemTotal - MemFree, MB", idle);
    report(&mut figures, "our programs, sum of PSS, MB", programs);
    for (name, key) in [
        ("root, MiB", "root_bytes"),
        ("boot entry, MiB", "entry_bytes"),
        ("download of a slot at most, MiB", "download_bytes"),
    ] {
        let bytes = record.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN);
        report(&mut figures, name, bytes / 1_048_576.0);
    }
    let executables = record.get("executables").and_then(Value::as_array).map_or(0, Vec::len);
    report(&mut figures, "executables", executables as f64);
    if let Some(path) = settings.json {
        std::fs::write(&path, serde_json::to_string_pretty(&figures)?).with_context(|| path.display().to_string())?;
    }
    std::fs::remove_dir_all(lab.directory()).context("remove the work folder")
}

/// The build record lies beside the image.
fn record_of(disk: &std::path::Path) -> PathBuf {
    let mut name = disk.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}

fn report(figures: &mut Value, name: &str, value: f64) {
    println!("{name:<44} {value:>8.2}");
    if let Some(object) = figures.as_object_mut() {
        object.insert(name.to_owned(), json!((value * 100.0).round() / 100.0));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// QEMU's processor seconds at each marker of one boot.
fn boot(lab: &Lab, disk: &DiskFile) -> Result<Vec<f64>> {
    let guest = lab.start("boot", disk, |_| ())?;
    let mut seconds = Vec::new();
    let mut from = 0;
    for (name, text) in MARKERS {
        from = guest
            .machine
            .wait_for(from, text, PATIENCE)
            .with_context(|| name.to_owned())?;
        seconds.push(guest.machine.cpu_seconds().context("read QEMU's processor time")?);
    }
    guest.power_off()?;
    Ok(seconds)
}

/// What a machine with nothing declared uses, in MB, some seconds after it came up.
fn idle_memory(lab: &Lab, disk: &DiskFile) -> Result<f64> {
    let mut guest = lab.boot("idle", disk, |_| ())?;
    let used = guest.memory_in_use(SETTLE)?;
    guest.power_off()?;
    Ok(used)
}

/// Proportional set size of our programs in MB, as a declared probe sees it (its own shim left out).
fn programs_memory(lab: &Lab) -> Result<f64> {
    let images = Images::with_probe(lab.directory())?;
    let more = "privileged = true\nnamespaces = { pid = \"host\" }\nports = [\"80:80\"]";
    let document = format!(
        "{}{}",
        images.section(),
        images.probe_section("probe", &["serve", "80"], more)
    );
    let (disk, volume, port) = (
        lab.disk("probed")?,
        seed(lab.directory(), "probe", &document)?,
        free_port()?,
    );
    let guest = lab.boot("probed", &disk, |spec| {
        spec.disks.push(Disk::read_only(&volume, "seed"));
        spec.forwards = Some(vec![Forward {
            protocol: Protocol::Tcp,
            host: port,
            guest: 80,
        }]);
    })?;
    get_within(port, "/ok", PATIENCE)?;
    std::thread::sleep(SETTLE);
    let table = get(port, "/memory")?;
    guest.power_off()?;
    println!("{table}");
    let kilobytes = table
        .lines()
        .filter(|line| line.starts_with("keelson-") && !line.starts_with("keelson-shim"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    Ok(kilobytes.sum::<f64>() * 1024.0 / 1e6)
}
