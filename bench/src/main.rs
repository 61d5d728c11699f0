//! Races against the peers, side by side in one run: `./just bench boot` and `./just bench engine`. What is measured
//! and how stands in `docs/tasks/bench.md`. Ratios are what counts; the host is shared and noisy.

#![allow(clippy::print_stdout, reason = "what this program prints is what it is for")]

mod answers;
mod boot;
mod engine;
mod peer;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures Keelson beside Debian with podman and Debian with docker.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Arguments {
    #[command(subcommand)]
    race: Race,
}

#[derive(Debug, Subcommand)]
enum Race {
    /// From power on to the first container, and memory at idle
    Boot(Settings),
    /// Processor time of an answer to a wrong document, in each format; a measurement without peers
    Answers(answers::Settings),
    /// A container's life, its memory and a pull, on one booted kernel
    Engine(Settings),
}

/// What both races take.
#[derive(Debug, Clone, clap::Args)]
struct Settings {
    /// Write all figures as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw the table as SVG
    #[arg(long)]
    picture: Option<PathBuf>,
    /// Measure one system alone, to see what a change does: keelson, podman or docker
    #[arg(long, value_parser = ["keelson", "podman", "docker"])]
    only: Option<String>,
    /// Measurements of each kind
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Processors of the machines
    #[arg(long, default_value_t = 2)]
    processors: u8,
}

impl Settings {
    /// Whether a system takes part.
    fn races(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == name)
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().race {
        Race::Boot(settings) => boot::race(&settings),
        Race::Answers(settings) => answers::measure(&settings),
        Race::Engine(settings) => engine::race(&settings),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
