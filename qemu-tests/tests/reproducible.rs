//! The reproducible suite: the same sources give the same bytes, built at another path and at another time.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use keelson_qemu_tests::{Case, Environment, Lab, case};

static CASES: &[Case] = &[Case::full(
    "a_clone_at_another_path_builds_the_same_image",
    another_clone,
)];

fn main() -> ExitCode {
    case::run(CASES)
}

fn another_clone(environment: &Environment) -> Result<()> {
    Lab::run(environment, "reproducible", |lab| {
        let clone = lab.directory().join("another/clone");
        // Asked at run time: a target folder that two clones share would keep the other one's path.
        let package = std::env::var_os("CARGO_MANIFEST_DIR").context("cargo names the package's folder")?;
        let here = Path::new(&package).parent().context("the workspace")?;
        succeed(
            Command::new("git")
                .args(["clone", "--quiet", "--no-hardlinks"])
                .arg(here)
                .arg(&clone),
        )?;
        let dirty = Command::new("git")
            .args(["status", "--porcelain", "--untracked-files=no"])
            .current_dir(here)
            .output()?;
        ensure!(
            dirty.stdout.is_empty(),
            "the working tree has changes that a clone does not see: commit them first"
        );
        let target = lab.directory().join("target");
        // A target folder of its own: everything is compiled again, at another path and later.
        succeed(
            Command::new(clone.join("just"))
                .arg("image")
                .current_dir(&clone)
                .env("CARGO_TARGET_DIR", &target)
                .env("KEELSON_IMAGE", lab.directory().join("again")),
        )?;
        let again = lab.directory().join("again/keelson.img");
        let (first, second) = (record(&environment.disk)?, record(&again)?);
        ensure!(first == second, "the build records differ:\n{first}\n{second}");
        ensure!(same(&environment.disk, &again)?, "the disk images differ");
        Ok(())
    })
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}

fn record(disk: &Path) -> Result<String> {
    let path = PathBuf::from(format!("{}.json", disk.display()));
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn same(first: &Path, second: &Path) -> Result<bool> {
    Ok(Command::new("cmp")
        .arg("--silent")
        .args([first, second])
        .status()
        .context("run cmp")?
        .success())
}
