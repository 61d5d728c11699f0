//! Starting and stopping the engines' daemons.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::api::Api;
use crate::booked::can_bound_pids;

const PATIENCE: Duration = Duration::from_secs(60);

/// A running engine.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    socket: &'static str,
    log: PathBuf,
}

impl Daemon {
    /// Its API.
    pub fn api(&self) -> Api {
        Api {
            socket: self.socket.into(),
        }
    }

    /// What it has written so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts an engine by its name and waits until it answers.
pub fn start(engine: &str, registry: &str) -> Result<Daemon> {
    let (mut command, socket) = match engine {
        "keelson" => (keelson(registry)?, "/run/docker.sock"),
        "docker" => (docker()?, "/run/docker.sock"),
        "podman" => (podman(registry)?, "/run/podman.sock"),
        other => bail!("no engine {other}"),
    };
    let log = PathBuf::from(format!("/tmp/{engine}.log"));
    let output = fs::File::create(&log)?;
    let child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("start {engine}"))?;
    let mut daemon = Daemon { child, socket, log };
    let deadline = Instant::now() + PATIENCE;
    while !daemon.api().answers() {
        if Instant::now() > deadline || daemon.child.try_wait()?.is_some() {
            bail!("{engine} does not answer: {}", daemon.said());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(daemon)
}

fn keelson(registry: &str) -> Result<Command> {
    let config = json!({ "schema": 1, "registry": { registry: { "plain-http": true } } });
    fs::write("/tmp/machine.json", config.to_string())?;
    let mut command = Command::new("/usr/bin/keelson-runtimed");
    command
        .args(["--socket", "/run/docker.sock", "--config", "/tmp/machine.json"])
        .args(["--journal", "/run/no-journal", "--resolver", "/run/no-resolver"])
        .env("KEELSON_LOG", "warn");
    Ok(command)
}

fn docker() -> Result<Command> {
    fs::create_dir_all("/etc/docker")?;
    // Registries on loopback are spoken to without TLS by default.
    fs::write("/etc/docker/daemon.json", "{\"log-level\": \"warn\"}")?;
    let mut command = Command::new("/usr/sbin/dockerd");
    command.args(["--host", "unix:///run/docker.sock"]);
    Ok(command)
}

fn podman(registry: &str) -> Result<Command> {
    let folder = Path::new("/etc/containers/registries.conf.d");
    fs::create_dir_all(folder)?;
    fs::write(
        folder.join("bench.conf"),
        format!("[[registry]]\nlocation = \"{registry}\"\ninsecure = true\n"),
    )?;
    fs::write("/etc/containers/containers.conf", podman_settings(can_bound_pids()?))?;
    let mut command = Command::new("/usr/bin/podman");
    command.args(["system", "service", "--time=0", "unix:///run/podman.sock"]);
    Ok(command)
}

/// Debian's defaults but for what the stage does not have: there is no systemd to ask for groups nor a journal to write
/// to, and where the unified hierarchy cannot bound processes, podman must not ask for it; the other engines see to that
/// themselves.
fn podman_settings(can_bound_pids: bool) -> String {
    let bound = if can_bound_pids { "" } else { "pids_limit = 0\n" };
    format!(
        "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
         [containers]\nlog_driver = \"k8s-file\"\n{bound}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podman_bounds_processes_wherever_the_kernel_can() {
        assert!(!podman_settings(true).contains("pids_limit"));
        assert!(podman_settings(false).ends_with("[containers]\nlog_driver = \"k8s-file\"\npids_limit = 0\n"));
    }
}
