//! A peer's root as a folder, installed by mmdebstrap from the host's own archive.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use keelson_os_build::deb::{Archives, carried_settings, format_stanza};

use super::recipe::{Laid, Peer};

/// The release the image's own packages come from, too.
const SUITE: &str = "trixie";

/// Installs the packages into `tree`, lays the files and makes the initramfs with its marks.
pub fn make(tree: &Path, peer: Peer, overlay: &[Laid]) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "a peer's packages are installed by their own scripts, which needs root"
    );
    let folder = tree.parent().context("the tree lies in a folder")?;
    let archives = Archives::of_host(Path::new("/etc/apt"))?;
    let sources = folder.join("peer.sources");
    let stanzas =
        format_stanza(&archives.debian, SUITE) + &format_stanza(&archives.security, &format!("{SUITE}-security"));
    std::fs::write(&sources, stanzas)?;
    let settings = folder.join("apt.conf");
    std::fs::write(&settings, carried_settings()?)?;
    succeed(
        Command::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase", "--mode=root", "--format=directory"])
            .arg(format!("--aptopt={}", settings.display()))
            .arg(format!("--include={}", peer.packages().join(",")))
            .arg(SUITE)
            .arg(tree)
            .arg(&sources),
    )?;
    for file in overlay {
        lay(tree, file)?;
    }
    if !peer.boots() {
        return Ok(());
    }
    systemctl(tree, "enable", peer.enabled())?;
    systemctl(tree, "mask", peer.masked())?;
    succeed(Command::new("chroot").arg(tree).args(["update-initramfs", "-u"]))
}

fn lay(tree: &Path, file: &Laid) -> Result<()> {
    let path = tree.join(file.path.trim_start_matches('/'));
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    written
        .and_then(|()| std::fs::write(&path, &file.content))
        .and_then(|()| std::fs::set_permissions(&path, PermissionsExt::from_mode(file.mode)))
        .with_context(|| format!("lay {}", path.display()))
}

fn systemctl(tree: &Path, verb: &str, units: &[&str]) -> Result<()> {
    succeed(Command::new("systemctl").arg("--root").arg(tree).arg(verb).args(units))
}

/// Runs a program whose output is of interest only when it fails.
pub fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
