//! Kinds of sources, which of them comes first, and where exactly a document lay.

use serde::{Deserialize, Serialize};

use super::block::Attachment;

/// A kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// QEMU's firmware configuration device.
    FwCfg,
    /// Strings of the firmware's SMBIOS table (type 11).
    Smbios,
    /// A file on the EFI system partition.
    Esp,
    /// A volume labelled `cidata`.
    Nocloud,
    /// A volume labelled `config-2`: OpenStack's config drive.
    ConfigDrive,
    /// The machine's serial number, which can hold a host name and an instance id.
    Serial,
    /// EC2's metadata service.
    Ec2,
}

impl Kind {
    /// Precedence at a first boot: of several documents the one with the lowest rank is taken. What the hypervisor says
    /// comes before what lies on the machine's own disk, that before what is plugged in, and the network last.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::FwCfg => 0,
            Self::Smbios => 1,
            Self::Esp => 2,
            Self::Nocloud | Self::ConfigDrive => 3,
            Self::Serial => 4,
            Self::Ec2 => 5,
        }
    }
}

/// Where a document lay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Kind of the source.
    pub kind: Kind,
    /// The place at the time, for people: a device node, a name in the firmware, an address.
    pub device: String,
    /// How the device is attached; empty for what is no device.
    #[serde(default)]
    pub attachment: Attachment,
    /// File system of the volume, if it is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filesystem: String,
    /// What tells the volume from others with its label.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub volume_id: String,
}

impl Origin {
    /// A source of which a machine has one.
    #[must_use]
    pub fn only(kind: Kind, place: &str) -> Self {
        Self {
            kind,
            device: place.to_owned(),
            attachment: Attachment::default(),
            filesystem: String::new(),
            volume_id: String::new(),
        }
    }

    /// Whether a document from here comes from the same source as one from `other`. A device that anyone can plug in
    /// must carry the same volume as well.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let device = self.kind == other.kind && self.attachment.same_as(&other.attachment);
        let loose = self.attachment.pluggable() || other.attachment.pluggable();
        device && (!loose || self.volume_id == other.volume_id)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            device,
            filesystem,
            volume_id,
            ..
        } = self;
        match self.kind {
            Kind::FwCfg => write!(f, "QEMU fw_cfg {device}"),
            Kind::Smbios => write!(f, "SMBIOS string {device}"),
            Kind::Esp => write!(f, "{device} on the EFI system partition"),
            Kind::Nocloud => write!(f, "volume cidata ({filesystem}, {volume_id}) on {device}"),
            Kind::ConfigDrive => write!(f, "config drive ({filesystem}, {volume_id}) on {device}"),
            Kind::Serial => write!(f, "the machine's serial number"),
            Kind::Ec2 => write!(f, "EC2's metadata service at {device}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_without_a_device_are_told_apart_by_their_kind() {
        let fw_cfg = Origin::only(Kind::FwCfg, "opt/org.keelson/config");
        assert!(fw_cfg.same_as(&Origin::only(Kind::FwCfg, "opt/io.systemd.credentials/keelson.config")));
        assert!(!fw_cfg.same_as(&Origin::only(Kind::Smbios, "keelson.config")));
    }

    #[test]
    fn what_earlier_releases_wrote_is_read() {
        let text =
            r#"{"kind":"nocloud","device":"/dev/vdb","attachment":{"bus":"pci0"},"filesystem":"vfat","volume_id":"1"}"#;
        let origin: Origin = serde_json::from_str(text).unwrap();
        assert_eq!((origin.kind, origin.attachment.bus.as_str()), (Kind::Nocloud, "pci0"));
    }
}
