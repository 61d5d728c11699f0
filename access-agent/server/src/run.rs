//! From the configuration to a listening server, or to none.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use keelson_image_layout::{BootFacts, paths};
use keelson_machine_config::MachineConfig;
use russh::keys::PrivateKey;
use rustix::thread::{CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities};
use tokio::net::TcpListener;

use crate::accounts::Accounts;
use crate::doorkeeper::Limits;
use crate::running::Running;
use crate::server::{Behaviour, Places, Server};
use crate::{algorithms, host_key};

/// Where SSH listens.
const PORT: u16 = 22;
/// How long logging in may take.
const GRACE: Duration = Duration::from_secs(30);

/// How long the end waits for programs that still answer.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How long what was said last takes to leave.
const MOMENT: Duration = Duration::from_millis(50);

/// Serves the machine until it is asked to stop; returns at once if nobody has a key.
///
/// # Errors
/// The configuration, the host key or the port cannot be had.
pub async fn run() -> anyhow::Result<()> {
    let accounts = Accounts::of(&configuration(Path::new(paths::MACHINE_CONFIG))?);
    if accounts.is_empty() {
        log::info!("no key is configured: ssh stays closed");
        keelson_daemon::notify::ready();
        return Ok(());
    }
    let host_key = match host_key::load_or_make(Path::new(paths::SSH_HOST_KEY)) {
        Ok(key) => key,
        Err(error) => {
            say(&format!("keelson: {error}"));
            return Err(error.into());
        }
    };
    let listener = listen().await.context("listen on the port of ssh")?;
    drop_capabilities().context("give up capabilities")?;
    announce(&host_key);
    let running = Running::default();
    let server = Server::new(Behaviour {
        protocol: algorithms::config(host_key),
        accounts: Arc::new(accounts),
        places: Places {
            program: Path::new(paths::PROGRAMS).join("keelson"),
            engine: paths::ENGINE_SOCKET.into(),
            running: running.clone(),
        },
        limits: Limits::default(),
        grace: GRACE,
    });
    keelson_daemon::notify::ready();
    tokio::select! {
        () = server.serve(listener) => {}
        () = keelson_daemon::termination() => {}
    }
    finish(&running).await;
    Ok(())
}

/// Who asked for a reboot wants to hear that it was heard: answers under way may still arrive.
async fn finish(running: &Running) {
    let deadline = tokio::time::Instant::now() + LAST_ANSWERS;
    while running.any() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(MOMENT).await;
    }
    tokio::time::sleep(MOMENT).await;
}

fn configuration(path: &Path) -> anyhow::Result<MachineConfig> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("understand {}", path.display()))
}

/// Every address; without IPv6 in the kernel, those of IPv4.
async fn listen() -> std::io::Result<TcpListener> {
    match TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT))).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))).await,
    }
}

/// The port is open: nothing that follows needs a capability, least of all the programs that are started.
fn drop_capabilities() -> Result<(), rustix::io::Errno> {
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )
}

/// Tells the console by what clients know this machine.
fn announce(host_key: &PrivateKey) {
    let fingerprint = host_key::fingerprint(host_key);
    let lasts = if state_is_kept() {
        ""
    } else {
        " (until the next start: the state partition is damaged)"
    };
    log::info!(key = fingerprint.as_str(), port = PORT; "ssh is open");
    say(&format!("keelson: ssh host key {fingerprint}{lasts}"));
}

/// Whether what is written to the state survives.
fn state_is_kept() -> bool {
    std::fs::read(paths::BOOT_FACTS)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<BootFacts>(&bytes).ok())
        .is_none_or(|facts| facts.state.degraded().is_none())
}

/// A line on standard output, which is the console.
fn say(line: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(format!("{line}\r\n").as_bytes());
}
