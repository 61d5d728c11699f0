//! `./just fuzz [TARGET] [SECONDS]`: builds the targets with coverage instrumentation and runs them under libFuzzer.
//! Inputs found on the way stay outside the tree; one that panics is named, to become a seed.

#![allow(clippy::print_stdout, reason = "what this program prints is what it is for")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use keelson_fuzz::{TARGETS, Target, find};

/// What makes LLVM count edges and comparisons for libFuzzer.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg=fuzzing -Cdebug-assertions=on";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fuzz: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "all".into());
    let seconds = arguments.next().unwrap_or_else(|| "60".into());
    let targets = match find(&name) {
        Some(target) => vec![target],
        None if name == "all" => TARGETS.to_vec(),
        None => bail!("no target {name:?}; there are {}", names()),
    };
    let cache = PathBuf::from(std::env::var("KEELSON_CACHE").context("run this through ./just fuzz")?).join("fuzz");
    let program = build(&cache)?;
    for target in targets {
        fuzz(&program, target, &seconds, &cache)?;
    }
    Ok(())
}

fn names() -> String {
    TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ")
}

fn build(cache: &Path) -> Result<PathBuf> {
    println!("building the instrumented targets in {}", cache.display());
    let folder = cache.join("target");
    let status = Command::new("cargo")
        .args([
            "build",
            "--release",
            "--quiet",
            "-p",
            "keelson-fuzz",
            "--features",
            "libfuzzer",
            "--bin",
            "libfuzzer",
        ])
        .env("CARGO_TARGET_DIR", &folder)
        // In place of the flags for a target, which would link statically: libFuzzer looks for functions at run time.
        .env("RUSTFLAGS", INSTRUMENTATION)
        .status()
        .context("run cargo")?;
    ensure!(
        status.success(),
        "the instrumented targets do not build (is the package g++ installed?)"
    );
    Ok(folder.join("x86_64-unknown-linux-gnu/release/libfuzzer"))
}

fn fuzz(program: &Path, target: Target, seconds: &str, cache: &Path) -> Result<()> {
    let found = cache.join("found").join(target.name);
    std::fs::create_dir_all(&found).with_context(|| format!("make {}", found.display()))?;
    println!("{}: {seconds} s", target.name);
    let status = Command::new(program)
        .arg(format!("-max_total_time={seconds}"))
        .args([
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-print_final_stats=1",
            "-verbosity=0",
        ])
        .arg(format!("-artifact_prefix={}/", found.display()))
        .args([found.as_path(), &Path::new("fuzz/seeds").join(target.name)])
        .env("KEELSON_FUZZ_TARGET", target.name)
        .status()
        .context("run the fuzzer")?;
    ensure!(
        status.success(),
        "{} failed; the input is in {}",
        target.name,
        found.display()
    );
    Ok(())
}
