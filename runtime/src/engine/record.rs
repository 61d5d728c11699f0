//! The durable record of one container (docs/formats/container-record.md). Serialisable data only;
//! reading and writing is `store.rs`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::container::ContainerState;
use super::id::ContainerId;
use super::request::{ContainerPort, ContainerRequest, Publish};

/// The format this release writes.
pub const FORMAT: u32 = 1;

/// Everything the engine knows about a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ContainerRecord {
    /// Format of the record.
    pub format: u32,
    /// The oldest format whose readers understand it.
    pub min_reader: u32,
    /// Its id.
    pub id: ContainerId,
    /// Its name, without a slash.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// What it was asked to be.
    pub request: ContainerRequest,
    /// Digest of the image's configuration: the image's id.
    pub image_id: String,
    /// The request with the image's configuration merged in.
    pub resolved: Resolved,
    /// Its life.
    pub state: ContainerState,
    /// Its addresses and ports while it runs on a bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// The boot in which it was started last; empty before the first time.
    #[serde(default)]
    pub started_boot: String,
    /// The boot in which its state was written last; another boot means its processes are gone.
    #[serde(default)]
    pub boot_id: String,
}

/// Request and image configuration, merged when the container was made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Resolved {
    /// Entry point; may be empty.
    pub entrypoint: Vec<String>,
    /// Command, appended to the entry point.
    pub command: Vec<String>,
    /// `KEY=value`, one per key.
    pub env: Vec<String>,
    /// `user[:group]`; empty is root.
    pub user: String,
    /// Absolute working directory.
    pub workdir: String,
    /// The caller's labels, then the image's.
    pub labels: BTreeMap<String, String>,
    /// Signal that asks it to end.
    pub stop_signal: String,
    /// Ports of request and image.
    pub expose: Vec<ContainerPort>,
    /// Mounts of request and image, parents before children; every volume bears its name.
    pub mounts: Vec<super::request::MountRequest>,
    /// Host name.
    pub hostname: String,
}

impl Resolved {
    /// The whole command line.
    pub fn args(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.command).cloned().collect()
    }
}

/// A container's place on a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Endpoint {
    /// Address.
    pub ip4: Ipv4Addr,
    /// Unique local address.
    pub ip6: Ipv6Addr,
    /// Hardware address, six octets.
    pub mac: [u8; 6],
    /// Published ports, every host port a real one.
    pub published: Vec<Publish>,
}

impl Endpoint {
    /// The hardware address as text.
    pub fn mac_text(&self) -> String {
        let octets: Vec<String> = self.mac.iter().map(|o| format!("{o:02x}")).collect();
        octets.join(":")
    }
}
