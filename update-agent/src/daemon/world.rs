//! Where everything is, on a machine or in a test.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use keelson_image_layout::slot_state::update::Running;
use keelson_image_layout::{BootFacts, RootHash, SlotState, StateMount, paths};
use keelson_slot_store::Places;
use keelson_tuf::Clock;

use super::{clock, slots};
use crate::agent::Found;
use crate::boot;
use crate::health::Machine;

/// The places the daemon works on.
#[derive(Debug)]
pub struct World {
    /// This boot.
    pub facts: BootFacts,
    /// Kind of machine, as releases call it.
    pub flavour: String,
    /// The root of trust that came with the image.
    pub trusted_root: Option<Vec<u8>>,
    /// Folder with the roots of trust that led to it.
    pub roots: PathBuf,
    /// The running root, checked block by block as it is read.
    pub running_root: PathBuf,
    /// The slots; `None` where no slot can be written.
    pub places: Option<Places>,
    /// What is kept.
    pub folder: PathBuf,
    /// What the network service says.
    pub netd: PathBuf,
    /// Seconds since 1970 by the hardware clock.
    pub rtc: PathBuf,
    /// PID 1 and the document.
    pub machine: Machine,
}

impl World {
    /// The machine this runs on.
    ///
    /// # Errors
    /// It is no Keelson machine.
    pub fn here() -> Result<World> {
        let facts = boot::read()?;
        let os_release = std::fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
        let medium = facts.state == StateMount::Medium;
        Ok(World {
            flavour: parse_flavour(&os_release).context("/etc/os-release has no VARIANT_ID")?,
            trusted_root: std::fs::read(paths::UPDATE_ROOT).ok(),
            roots: paths::UPDATE_ROOTS.into(),
            running_root: running_root()?,
            places: Places::of(&facts).filter(|_| !medium),
            folder: paths::UPDATE.into(),
            netd: paths::NETD_STATUS.into(),
            rtc: "/sys/class/rtc/rtc0/since_epoch".into(),
            machine: Machine::default(),
            facts,
        })
    }

    /// Root hash of the running release.
    #[must_use]
    pub const fn root_hash(&self) -> RootHash {
        self.facts.release.verity.root_hash
    }

    /// The running release.
    #[must_use]
    pub const fn running(&self) -> Running {
        Running {
            slot: self.facts.slot,
            root_hash: self.root_hash(),
        }
    }

    /// Whether there is a root to trust and a slot to write.
    #[must_use]
    pub const fn can_update(&self) -> bool {
        self.trusted_root.is_some() && self.places.is_some()
    }

    /// What the slots hold, and the record of them. Where there are none, the release that runs is all there will be.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn look(&self) -> Result<(Found, Option<SlotState>)> {
        match &self.places {
            Some(places) => slots::look(self, places).map(|(found, state)| (found, Some(state))),
            None => Ok((
                Found {
                    version: self.facts.release.version.clone(),
                    committed: true,
                    ..Found::default()
                },
                None,
            )),
        }
    }

    /// The clock that expiry is judged by.
    #[must_use]
    pub fn clock(&self) -> Clock {
        clock::read(&self.netd, &self.rtc, self.release_time())
    }

    /// When the running release was made.
    #[must_use]
    pub const fn release_time(&self) -> Duration {
        Duration::from_secs(self.facts.release.time)
    }

    /// The file that says that an operator holds updates.
    #[must_use]
    pub fn hold(&self) -> PathBuf {
        self.folder.join("hold")
    }
}

/// The device that `/` is mounted from.
fn running_root() -> Result<PathBuf> {
    let device = std::os::unix::fs::MetadataExt::dev(&std::fs::metadata("/").context("look at /")?);
    let minor = rustix::fs::minor(device);
    let node = Path::new("/dev").join(format!("dm-{minor}"));
    Ok(node)
}

fn parse_flavour(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("VARIANT_ID="))?;
    Some(value.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flavour_is_the_variant() {
        assert_eq!(
            parse_flavour("NAME=Keelson\nVARIANT_ID=cloud\n").as_deref(),
            Some("cloud")
        );
        assert_eq!(parse_flavour("NAME=Keelson\n"), None);
    }
}
