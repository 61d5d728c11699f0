//! Runs the test suites through cargo and closes with one summary line: `./just test [SUITE]`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

use std::path::Path;

use anyhow::{Context, Result};
use keelson_os_build::cache::Cache;
use keelson_os_build::tool::program;

/// A suite by name: what it holds, which cargo targets run it, and how much of the QEMU cases runs.
struct Suite {
    name: &'static str,
    targets: &'static [&'static str],
    qemu: Option<&'static str>,
}

/// What `./just test NAME` knows. Package selection is always the whole workspace: a part of it would unify
/// dependency features differently and compile them again.
const SUITES: [Suite; 7] = [
    Suite {
        name: "unit",
        targets: &["--lib", "--bins", "--tests"],
        qemu: None,
    },
    Suite {
        name: "boot",
        targets: &["--test", "boot"],
        qemu: Some("full"),
    },
    Suite {
        name: "config",
        targets: &["--test", "config"],
        qemu: Some("full"),
    },
    Suite {
        name: "containers",
        targets: &["--test", "containers"],
        qemu: Some("full"),
    },
    Suite {
        name: "operated",
        targets: &["--test", "operated"],
        qemu: Some("full"),
    },
    Suite {
        name: "updates",
        targets: &["--test", "updates"],
        qemu: Some("full"),
    },
    Suite {
        name: "reproducible",
        targets: &["--test", "reproducible"],
        qemu: Some("full"),
    },
];

/// All suites in short form.
const SHORT: Suite = Suite {
    name: "all",
    targets: &["--lib", "--bins", "--tests"],
    qemu: Some("short"),
};

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("suites: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool> {
    let mut arguments = std::env::args().skip(1);
    let suite = match arguments.next() {
        None => SHORT,
        Some(name) => SUITES.into_iter().find(|suite| suite.name == name).with_context(|| {
            let names: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
            format!("no suite {name:?}; there are {}", names.join(", "))
        })?,
    };
    let filter: Vec<String> = arguments.collect();
    // Programs the tests start (a shim that plays containers) are examples: `cargo test` links them only as tests.
    let examples = ["build", "--release", "--quiet", "--workspace", "--examples"];
    let built = Command::new("cargo").args(examples).status().context("run cargo")?;
    anyhow::ensure!(built.success(), "the examples do not build");
    let mut cargo = Command::new("cargo");
    cargo
        .args(["test", "--release", "--workspace", "--no-fail-fast"])
        .args(suite.targets)
        .arg("--")
        .args(filter);
    // Under this runner a missing judge is a failure and no reason to skip.
    cargo.env("KEELSON_STRICT", "1");
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: tests whose names begin with privileged_ are left out");
        cargo.args(["--skip", "privileged_"]);
    }
    match suite.qemu {
        Some(extent) => cargo.env("KEELSON_QEMU", extent),
        None => cargo.env_remove("KEELSON_QEMU"),
    };
    if Command::new("docker").arg("--version").output().is_err() {
        let client = program(&Cache::of_user()?, "docker-cli", "usr/bin/docker").context("fetch Docker's client")?;
        let folder = client.parent().map(Path::to_owned).unwrap_or_default();
        let path = std::env::var("PATH").unwrap_or_default();
        cargo.env("PATH", format!("{}:{path}", folder.display()));
    }
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("run cargo")?;
    let output = child.stdout.take().context("read cargo's output")?;
    let tally = count(BufReader::new(output), &mut std::io::stdout())?;
    let succeeded = child.wait().context("wait for cargo")?.success();
    let mut out = std::io::stdout().lock();
    // A build that failed ran no test of the package it stopped at: never let that look like a pass.
    let failed = tally.failed + usize::from(!succeeded && tally.failed == 0);
    writeln!(
        out,
        "{} passed, {} failed, {} skipped",
        tally.passed, failed, tally.skipped
    )?;
    Ok(succeeded && failed == 0 && tally.passed > 0)
}

/// Passes cargo's output on and adds up its `test result:` lines.
fn count(output: impl BufRead, out: &mut impl Write) -> Result<Tally> {
    let mut tally = Tally::default();
    for line in output.split(b'\n') {
        let line = line.context("read cargo's output")?;
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        out.flush()?;
        let text = String::from_utf8_lossy(&line);
        if let Some((passed, failed, ignored)) = parse_result(&text) {
            tally.passed += passed;
            tally.failed += failed;
            tally.skipped += ignored;
        }
    }
    Ok(tally)
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; …`
fn parse_result(line: &str) -> Option<(usize, usize, usize)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |word: &str| {
        counts
            .split("; ")
            .find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<usize>().ok())
    };
    Some((number("passed")?, number("failed")?, number("ignored")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_added_up() {
        let output = "running 4 tests\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let mut shown = Vec::new();
        let tally = count(output.as_bytes(), &mut shown).unwrap();
        assert_eq!(shown, output.as_bytes());
        assert_eq!((tally.passed, tally.failed, tally.skipped), (4, 2, 1));
        assert_eq!(parse_result("test result of nothing"), None);
    }
}
