//! What other programs left for us to read: the configuration in force and the facts of this boot.

use keelson_image_layout::BootFacts;
use keelson_machine_config::value::Server;
use keelson_machine_config::{MachineConfig, Network};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The effective configuration, read anew each time: it may come later than we do.
#[derive(Debug, Clone)]
pub struct Effective(pub PathBuf);

impl crate::time::keeper::Configured for Effective {
    fn servers(&self) -> Vec<Server> {
        load(&self.0).map(|config| config.time.servers).unwrap_or_default()
    }
}

impl Effective {
    /// What the document says about networks; None when it does not speak of them.
    pub fn network(&self) -> Option<Network> {
        load(&self.0)?.network
    }
}

fn load(path: &Path) -> Option<MachineConfig> {
    let bytes = std::fs::read(path).ok()?;
    serde_json::from_slice(&bytes)
        .inspect_err(|error| log::warn!(path:% = path.display(), error:%; "configuration not understood"))
        .ok()
}

/// When the running release was made, since 1970; None outside the image.
pub fn release_time(boot_facts: &Path) -> Option<Duration> {
    let bytes = std::fs::read(boot_facts).ok()?;
    let facts: BootFacts = serde_json::from_slice(&bytes)
        .inspect_err(|error| log::warn!(error:%; "boot facts not understood"))
        .ok()?;
    Some(Duration::from_secs(facts.release.time))
}

/// The host name to tell DHCP servers; None while it is only a placeholder.
pub fn host_name() -> Option<String> {
    let name = rustix::system::uname();
    let name = name.nodename().to_str().ok()?;
    crate::names::normalise(name).filter(|name| name != "localhost")
}
