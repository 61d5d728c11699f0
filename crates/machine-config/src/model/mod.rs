//! The validated configuration of one machine, as its programs read it from `machine.json`.
//!
//! A value of these types has passed every rule of the native document. The JSON uses the document's own key names and
//! nesting. Reading it ignores unknown fields, so that an older program can read what a newer one wrote; secrets appear
//! as [`SecretRef`] only.

mod container;
mod file;
pub mod network;
mod update;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use container::{
    Capabilities, Container, EnvValue, Limits, Mount, MountKind, NamespaceMode, Namespaces, NetworkMode, RestartPolicy,
};

pub use file::{AfterBoot, Encoding, File, Install, Power, Trust};
pub use network::Network;
pub use update::{ApplyMode, Probe, ProbeTarget, RebootMode, Update};

use crate::secret::SecretRef;
use crate::value::{CaBundle, Hostname, Name, RegistryHost, Server, SshKey, Timezone};

/// All of it. `Default` is the machine without a document: nothing open, no containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineConfig {
    /// Version of this shape, [`crate::SCHEMA`].
    pub schema: u32,
    /// The machine itself.
    #[serde(default)]
    pub system: System,
    /// Declared users beside the built-in operator `core`.
    #[serde(default, rename = "user")]
    pub users: Vec<User>,
    /// SSH access of `core`.
    #[serde(default)]
    pub ssh: Ssh,
    /// The machine's networks; `None` is DHCP and router advertisements on every link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Clock.
    #[serde(default)]
    pub time: Time,
    /// Files of the machine.
    #[serde(default, rename = "file")]
    pub files: Vec<File>,
    /// Whom the machine trusts.
    #[serde(default)]
    pub trust: Trust,
    /// What ends the first boot with this document.
    #[serde(default)]
    pub power: Option<Power>,
    /// What an installation medium does without being asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<Install>,
    /// Updates of the system; `None` is [`Update::default`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Update>,
    /// Registries by host as image references name them.
    #[serde(default, rename = "registry")]
    pub registries: BTreeMap<RegistryHost, Registry>,
    /// Named volumes that containers may mount.
    #[serde(default, rename = "volume")]
    pub volumes: BTreeMap<Name, Volume>,
    /// Containers to keep running, by name.
    #[serde(default, rename = "container")]
    pub containers: BTreeMap<Name, Container>,
    /// What later documents may do.
    #[serde(default)]
    pub policy: Policy,
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self {
            schema: crate::SCHEMA,
            system: System::default(),
            users: Vec::new(),
            ssh: Ssh::default(),
            network: None,
            time: Time::default(),
            files: Vec::new(),
            trust: Trust::default(),
            power: None,
            install: None,
            update: None,
            registries: BTreeMap::new(),
            volumes: BTreeMap::new(),
            containers: BTreeMap::new(),
            policy: Policy::default(),
        }
    }
}

impl MachineConfig {
    /// Fills in what follows from what was said: a full name names the host.
    pub(crate) fn completed(mut self) -> Self {
        let System { hostname, fqdn, .. } = &mut self.system;
        if let (None, Some(full)) = (&hostname, &fqdn) {
            *hostname = full.short().parse().ok();
        }
        self
    }

    /// Every reference to a secret.
    pub fn secret_refs_mut(&mut self) -> impl Iterator<Item = &mut SecretRef> {
        let passwords = self
            .registries
            .values_mut()
            .filter_map(|registry| registry.password.as_mut());
        let env = self
            .containers
            .values_mut()
            .flat_map(|container| container.env.values_mut());
        let files = self.files.iter_mut().map(|file| &mut file.content);
        passwords.chain(env.chain(files).filter_map(|value| match value {
            EnvValue::Secret(secret) => Some(secret),
            EnvValue::Plain(_) => None,
        }))
    }

    /// Every reference to a secret.
    pub fn secret_refs(&self) -> impl Iterator<Item = &SecretRef> {
        let files = self.files.iter().filter_map(|file| file.content.secret());
        self.handed_secrets().chain(files)
    }

    /// References to the secrets that programs read from [`crate::SECRETS_DIR`].
    pub fn handed_secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let passwords = self
            .registries
            .values()
            .filter_map(|registry| registry.password.as_ref());
        let env = self.containers.values().flat_map(|container| container.env.values());
        passwords.chain(env.filter_map(EnvValue::secret))
    }
}

/// `[system]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// Host name; `None` leaves the choice to the source's metadata or the machine id.
    #[serde(default)]
    pub hostname: Option<Hostname>,
    /// Full name; its first label is the host name if the document gives no other.
    #[serde(default)]
    pub fqdn: Option<Hostname>,
    /// Time zone of `/etc/localtime`; `None` is UTC.
    #[serde(default)]
    pub timezone: Option<Timezone>,
}

/// `[[user]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct User {
    /// Login name.
    pub name: Name,
    /// Groups that make the user an operator; without one the user may only look.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Keys that may log in as this user.
    #[serde(default)]
    pub ssh_keys: Vec<SshKey>,
}

/// A group a declared user may join. Each makes its members operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// `wheel`.
    Wheel,
    /// `sudo`.
    Sudo,
    /// `docker`.
    Docker,
}

/// `[ssh]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ssh {
    /// Keys that may log in as `core`. The SSH port opens only if this or a user has a key.
    #[serde(default)]
    pub keys: Vec<SshKey>,
}

/// `[time]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Time {
    /// SNTP servers in order of preference. Empty: those of the DHCP lease.
    #[serde(default)]
    pub servers: Vec<Server>,
}

/// `[registry."HOST"]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Registry {
    /// Speak HTTP instead of HTTPS.
    #[serde(default)]
    pub plain_http: bool,
    /// Name to authenticate with.
    #[serde(default)]
    pub username: Option<String>,
    /// Password to authenticate with; present exactly when `username` is.
    #[serde(default)]
    pub password: Option<SecretRef>,
    /// Certificates to trust for this registry beside the built-in ones.
    #[serde(default)]
    pub ca: Option<CaBundle>,
    /// Registries to ask first, in order.
    #[serde(default)]
    pub mirrors: Vec<RegistryHost>,
}

/// `[volume.NAME]`. Nothing can be said about a volume yet except that it exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {}

/// `[policy]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Which later document may replace this one.
    #[serde(default)]
    pub reapply: Reapply,
}

/// Which document found at a later boot is applied. Others are reported, not applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reapply {
    /// None: the first document stays for good.
    Never,
    /// A changed document from the source that gave the first one.
    #[default]
    SameSource,
    /// A document from any source.
    Any,
}
