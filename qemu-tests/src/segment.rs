//! A link of its own in a network namespace, with a DHCP server and room for one machine: what a neighbour would see.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::fetch::until;
use crate::registry::probe_program;

const TAP: &str = "tap0";
const LEASE_PATIENCE: Duration = Duration::from_secs(90);

/// The link. Dropping it removes the namespace.
#[derive(Debug)]
pub struct Segment {
    namespace: String,
    leases: PathBuf,
    server: Option<Child>,
}

impl Segment {
    /// Address the machine is given (RFC 5737).
    pub const GUEST: &str = "192.0.2.10";

    /// Makes the namespace, the tap device and the DHCP server.
    ///
    /// # Errors
    /// A step is refused: it needs root, iproute2 and dnsmasq.
    pub fn new(folder: &Path) -> Result<Segment> {
        let namespace = format!("keelson-{}", std::process::id());
        let mut segment = Segment {
            namespace,
            leases: folder.join("leases"),
            server: None,
        };
        ip(&["netns", "add", &segment.namespace])?;
        let within = ["-n", &segment.namespace.clone()];
        for step in [
            &["link", "set", "lo", "up"][..],
            &["tuntap", "add", "dev", TAP, "mode", "tap"],
            &["addr", "add", "192.0.2.1/24", "dev", TAP],
            &["link", "set", TAP, "up"],
        ] {
            ip(&[&within[..], step].concat())?;
        }
        segment.server = Some(segment.serve(folder)?);
        Ok(segment)
    }

    fn serve(&self, folder: &Path) -> Result<Child> {
        let log = std::fs::File::create(folder.join("dnsmasq.log"))?;
        self.within("dnsmasq")
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--port=0",
                "--bind-interfaces",
            ])
            .args([
                format!("--interface={TAP}"),
                format!("--dhcp-range={guest},{guest},1h", guest = Segment::GUEST),
            ])
            .args(["--dhcp-authoritative", "--no-ping", "--pid-file=", "--user=root"])
            .arg(format!("--dhcp-leasefile={}", self.leases.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("run dnsmasq")
    }

    fn within(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// The tap device.
    #[must_use]
    pub fn tap(&self) -> &str {
        TAP
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Waits until the machine has its address.
    ///
    /// # Errors
    /// It does not ask for one.
    pub fn wait_for_lease(&self) -> Result<()> {
        let leases = || Ok(std::fs::read_to_string(&self.leases).unwrap_or_default());
        until("a lease", LEASE_PATIENCE, leases, |text: &String| {
            text.contains(Segment::GUEST)
        })
        .map(drop)
    }

    /// Runs the probe beside the machine; gives what it printed.
    ///
    /// # Errors
    /// It fails.
    pub fn run_probe(&self, words: &[&str]) -> Result<String> {
        let output = self
            .within(probe_program()?)
            .args(words)
            .output()
            .context("run the probe")?;
        ensure!(
            output.status.success(),
            "probe {words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = ip(&["netns", "del", &self.namespace]);
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("run ip")?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
