//! What an answer costs: processor time of a thread per wrong document of 15 kB with five mistakes, in each format that is
//! accepted.

mod documents;

use anyhow::{Context, Result, ensure};
use clap::Args;
use keelson_machine_config::network_config::{self, NetworkFormat};
use keelson_machine_config::{MetaData, validate};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Length of a document, at least.
const LENGTH: usize = 15_000;
/// Mistakes in each.
const MISTAKES: usize = 5;
/// The time an answer may take, milliseconds.
const WITHIN: f64 = 2.0;

/// What the measurement takes.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Write all figures as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Answers per format, whose median counts
    #[arg(long, default_value_t = 301)]
    runs: usize,
}

/// A format: its name, a document, and how many mistakes its reader finds.
type Format = (&'static str, String, fn(&[u8]) -> usize);

fn formats() -> [Format; 7] {
    let document = |bytes: &[u8]| validate("t", bytes).report.errors();
    let network = |bytes: &[u8]| {
        network_config::validate("t", bytes, NetworkFormat::CloudInit)
            .report
            .errors()
    };
    let openstack = |bytes: &[u8]| {
        network_config::validate("t", bytes, NetworkFormat::OpenStack)
            .report
            .errors()
    };
    let meta_data = |bytes: &[u8]| MetaData::parse(bytes).notes.len();
    [
        ("native", documents::native(), document),
        ("cloud-config", documents::cloud_config(), document),
        ("cloud-config in MIME", documents::mime(), document),
        ("network-config 1", documents::network_1(), network),
        ("network-config 2", documents::network_2(), network),
        ("network_data.json", documents::network_data(), openstack),
        ("meta-data", documents::meta_data(), meta_data),
    ]
}

/// Measures every format and prints a line for each.
///
/// # Errors
/// A document is not what it should be, or the JSON cannot be written.
pub fn measure(settings: &Settings) -> Result<()> {
    let mut figures = Vec::new();
    for (name, text, answer) in formats() {
        let errors = answer(text.as_bytes());
        ensure!(text.len() >= LENGTH, "{name}: only {} bytes", text.len());
        ensure!(errors >= MISTAKES, "{name}: only {errors} mistakes are found");
        let milliseconds = median(settings.runs, || {
            std::hint::black_box(answer(text.as_bytes()));
        })?;
        let verdict = if milliseconds <= WITHIN { "" } else { "  too slow" };
        println!(
            "{name:22} {:6} bytes {errors:3} mistakes {milliseconds:6.2} ms{verdict}",
            text.len()
        );
        figures.push(json!({
            "format": name, "bytes": text.len(), "mistakes": errors, "cpu_ms": milliseconds, "within_ms": WITHIN,
        }));
    }
    if let Some(path) = &settings.json {
        let text = serde_json::to_vec_pretty(&Value::Array(figures))?;
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The median of this thread's processor time, milliseconds.
fn median(runs: usize, mut work: impl FnMut()) -> Result<f64> {
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let before = clock_gettime(ClockId::ThreadCPUTime);
            work();
            let after = clock_gettime(ClockId::ThreadCPUTime);
            (after.tv_sec - before.tv_sec) as f64 * 1e3 + (after.tv_nsec - before.tv_nsec) as f64 / 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(runs / 2).copied().context("at least one run")
}
