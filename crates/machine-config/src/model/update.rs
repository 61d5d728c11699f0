//! Updates of the system: what an update has to stand before it is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::value::{Bytes, Name, ProbeAddress, ProbeUrl, ReleaseVersion, RepositoryUrl, Span};

/// `[update]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Update {
    /// Where releases come from; without it nobody is asked.
    #[serde(default)]
    pub address: Option<RepositoryUrl>,
    /// The channel that is followed.
    #[serde(default = "default_channel")]
    pub channel: String,
    /// The one version to go to.
    #[serde(default)]
    pub pin: Option<ReleaseVersion>,
    /// The lowest version to go to.
    #[serde(default)]
    pub floor: Option<ReleaseVersion>,
    /// Whether an offer is taken by itself.
    #[serde(default)]
    pub apply: ApplyMode,
    /// Whether the machine reboots into it by itself.
    #[serde(default)]
    pub reboot: RebootMode,
    /// Most bytes a second.
    #[serde(default)]
    pub byte_rate: Option<Bytes>,
    /// Most bytes of one update.
    #[serde(default)]
    pub byte_budget: Option<Bytes>,
    /// How long everything has to be well after an update before it is kept.
    #[serde(default = "default_for")]
    pub health_for: Span,
    /// How long that may take in all.
    #[serde(default = "default_within")]
    pub health_within: Span,
    /// What has to answer well.
    #[serde(default, rename = "probe")]
    pub probes: Vec<Probe>,
}

/// Who has a release taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApplyMode {
    /// The machine by itself.
    #[default]
    Auto,
    /// An operator.
    Manual,
}

/// Who has the machine reboot into it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RebootMode {
    /// The machine by itself.
    #[default]
    Now,
    /// An operator.
    OnRequest,
}

impl ApplyMode {
    /// As written.
    pub const WORDS: &[&str] = &["auto", "manual"];
}

impl RebootMode {
    /// As written.
    pub const WORDS: &[&str] = &["now", "on-request"];
}

/// `[[update.probe]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What people call it.
    pub name: Name,
    /// A GET that has to be answered with a status from 200 to 399.
    #[serde(default)]
    pub http: Option<ProbeUrl>,
    /// An address that has to take a connection.
    #[serde(default)]
    pub tcp: Option<ProbeAddress>,
    /// A program in `container` that has to end with 0.
    #[serde(default)]
    pub exec: Option<Vec<String>>,
    /// Where `exec` runs.
    #[serde(default)]
    pub container: Option<Name>,
    /// A unit that has to be up.
    #[serde(default)]
    pub unit: Option<Name>,
    /// How long the answer may take.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
}

/// What a probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeTarget<'a> {
    /// A GET.
    Http(&'a ProbeUrl),
    /// A connection.
    Tcp(&'a ProbeAddress),
    /// A program in a container.
    Exec {
        /// The container.
        container: &'a Name,
        /// Program and arguments.
        command: &'a [String],
    },
    /// A unit.
    Unit(&'a Name),
}

impl Probe {
    /// What it asks; `None` for a question of a newer release.
    #[must_use]
    pub fn target(&self) -> Option<ProbeTarget<'_>> {
        match (&self.http, &self.tcp, &self.exec, &self.container, &self.unit) {
            (Some(url), ..) => Some(ProbeTarget::Http(url)),
            (_, Some(address), ..) => Some(ProbeTarget::Tcp(address)),
            (_, _, Some(command), Some(container), _) => Some(ProbeTarget::Exec { container, command }),
            (.., Some(unit)) => Some(ProbeTarget::Unit(unit)),
            _ => None,
        }
    }
}

impl Default for Update {
    fn default() -> Self {
        Update {
            address: None,
            channel: default_channel(),
            pin: None,
            floor: None,
            apply: ApplyMode::default(),
            reboot: RebootMode::default(),
            byte_rate: None,
            byte_budget: None,
            health_for: default_for(),
            health_within: default_within(),
            probes: Vec::new(),
        }
    }
}

fn default_channel() -> String {
    "stable".to_owned()
}

fn default_for() -> Span {
    Span(Duration::from_secs(60))
}

fn default_within() -> Span {
    Span(Duration::from_secs(600))
}

fn default_timeout() -> Span {
    Span(Duration::from_secs(3))
}
