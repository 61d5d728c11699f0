//! Drives one engine through the race, as the first process of its namespaces: `bench-engine ENGINE REGISTRY-PORT`. The
//! last line on standard output is a JSON object of figures.

#![allow(clippy::print_stdout, reason = "what this program prints is what it is for")]

mod api;
mod booked;
mod daemon;
mod race;

use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-engine: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let engine = words.next().context("which engine")?;
    // Inside a container this program only has to end.
    if engine == "--version" {
        return Ok(());
    }
    let port: u16 = words.next().context("the registry's port")?.parse()?;
    booked::settle_group()?;
    let registry = format!("127.0.0.1:{port}");
    let mut daemon = daemon::start(&engine, &registry)?;
    let figures =
        race::run(&daemon.api(), &engine, &registry).with_context(|| format!("{engine} wrote:\n{}", daemon.said()));
    daemon.stop();
    println!("{}", json!(figures?));
    Ok(())
}
