//! A declared container.

use std::collections::BTreeMap;

use keelson_image_layout::BusAccess;
use serde::{Deserialize, Serialize};

use crate::secret::SecretRef;
use crate::value::{Bytes, Capability, Cpus, ImageRef, Name, PublishedPort, Span};

/// `[container.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Container {
    /// Image to run.
    pub image: ImageRef,
    /// Replaces the image's entry point; `Some([])` clears it.
    #[serde(default)]
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// Environment on top of the image's.
    #[serde(default)]
    pub env: BTreeMap<String, EnvValue>,
    /// `USER[:GROUP]`, by name or number; `None` is the image's.
    #[serde(default)]
    pub user: Option<String>,
    /// Working directory, absolute; `None` is the image's.
    #[serde(default)]
    pub workdir: Option<String>,
    /// Published ports; empty unless `network` is the bridge.
    #[serde(default)]
    pub ports: Vec<PublishedPort>,
    /// Mounts, targets distinct.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// What to do when it ends.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// Its network.
    #[serde(default)]
    pub network: NetworkMode,
    /// Namespaces shared with the machine.
    #[serde(default)]
    pub namespaces: Namespaces,
    /// All capabilities, devices and no confinement: as good as the machine's root.
    #[serde(default)]
    pub privileged: bool,
    /// Changes to the default set of capabilities.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Root file system read-only.
    #[serde(default)]
    pub read_only: bool,
    /// What it may do on the system bus; without this it has no socket. Left out of the JSON then, so that the digest of an
    /// older declaration stays what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus: Option<BusAccess>,
    /// Bounds on what it may use.
    #[serde(default)]
    pub limits: Limits,
    /// Time between the stop signal and SIGKILL.
    #[serde(default = "default_stop_timeout")]
    pub stop_timeout: Span,
}

/// Time to stop that a container gets when the document says nothing.
pub(crate) const DEFAULT_STOP_TIMEOUT: Span = Span(std::time::Duration::from_secs(10));

fn default_stop_timeout() -> Span {
    DEFAULT_STOP_TIMEOUT
}

/// Value of an environment variable, or content of a file. JSON: a string, or a [`SecretRef`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EnvValue {
    /// As written.
    Plain(String),
    /// The value of a secret.
    Secret(SecretRef),
}

impl EnvValue {
    /// The secret it refers to.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::Secret(secret) => Some(secret),
            Self::Plain(_) => None,
        }
    }
}

/// One entry of `mounts`. JSON: `{"type": "volume", "source": …, "target": …, "read-only": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Mount {
    /// What is mounted.
    #[serde(flatten)]
    pub kind: MountKind,
    /// Absolute path in the container, normalised.
    pub target: String,
    /// Mount it read-only.
    #[serde(default)]
    pub read_only: bool,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum MountKind {
    /// A volume declared in the same document.
    Volume {
        /// Its name.
        source: Name,
    },
    /// A path of the machine.
    Bind {
        /// Absolute path, normalised.
        source: String,
    },
    /// A file system in memory.
    Tmpfs {
        /// Its bound; `None` is the kernel's default of half the memory.
        #[serde(default)]
        size: Option<Bytes>,
    },
}

/// What happens when a container's process ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Start it again, after a reboot too.
    #[default]
    Always,
    /// Start it again if it failed.
    OnFailure,
    /// Leave it.
    No,
    /// As `Always`, unless an operator stopped it.
    UnlessStopped,
}

/// Network of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// The default bridge with address translation.
    #[default]
    Bridge,
    /// A loopback of its own and nothing else.
    None,
    /// The machine's network.
    Host,
}

/// Namespaces other than the network's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Processes.
    #[serde(default)]
    pub pid: NamespaceMode,
    /// System V IPC and POSIX message queues.
    #[serde(default)]
    pub ipc: NamespaceMode,
    /// Control groups.
    #[serde(default)]
    pub cgroup: NamespaceMode,
}

/// Whose namespace a container gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceMode {
    /// One of its own.
    #[default]
    Private,
    /// The machine's.
    Host,
}

/// Changes to the default capabilities; `drop` is applied first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Given on top of the defaults.
    #[serde(default)]
    pub add: Vec<Capability>,
    /// Taken from the defaults.
    #[serde(default)]
    pub drop: Vec<Capability>,
}

/// Bounds; `None` is no bound beyond the machine's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory, at least 6 MiB.
    #[serde(default)]
    pub memory: Option<Bytes>,
    /// Processors.
    #[serde(default)]
    pub cpus: Option<Cpus>,
    /// Processes and threads.
    #[serde(default)]
    pub pids: Option<u32>,
    /// Bytes of the container's writable layer.
    #[serde(default)]
    pub disk: Option<Bytes>,
}
