//! Identities a disk carries, read from outside.

use anyhow::{Context, Result};
use keelson_image_layout::{Part, paths};

use crate::disk::DiskFile;

/// What a disk is known by before a machine ran from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfDisk {
    /// Disk GUID and partition GUIDs, in table order.
    pub guids: Vec<String>,
    /// UUID of the state file system.
    pub state_uuid: Vec<u8>,
    /// Volume id of the ESP.
    pub esp_volume_id: Vec<u8>,
}

impl OfDisk {
    /// Reads it.
    ///
    /// # Errors
    /// The table is not readable.
    pub fn read(disk: &DiskFile) -> Result<OfDisk> {
        let table = gpt::GptConfig::new()
            .writable(false)
            .open(disk.path())
            .context("read the partition table")?;
        let mut guids = vec![table.guid().to_string()];
        guids.extend(
            table
                .partitions()
                .values()
                .map(|partition| partition.part_guid.to_string()),
        );
        Ok(OfDisk {
            guids,
            // ext4 superblock at 1024, s_uuid at 0x68; FAT32 boot sector, volume id at 67.
            state_uuid: disk.read(Part::State.start() + 1024 + 0x68, 16)?,
            esp_volume_id: disk.read(Part::Esp.start() + 67, 4)?,
        })
    }

    /// Names of what two disks have in common; empty if all is well.
    #[must_use]
    pub fn shared_with(&self, other: &OfDisk) -> Vec<&'static str> {
        let guids = self.guids.iter().any(|guid| other.guids.contains(guid));
        named([
            (guids, "disk or partition GUID"),
            (self.state_uuid == other.state_uuid, "state file system UUID"),
            (self.esp_volume_id == other.esp_volume_id, "ESP volume id"),
        ])
    }
}

/// Everything that must differ between two machines made from one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identities {
    /// The disk's.
    pub disk: OfDisk,
    /// Machine id.
    pub machine_id: String,
    /// Seed of the generator, as text dump.
    pub seed: Vec<u8>,
    /// The key the machine is known by over SSH, if SSH was ever open.
    pub host_key: Option<Vec<u8>>,
}

impl Identities {
    /// Reads them.
    ///
    /// # Errors
    /// The table, the state partition or one of its files is not readable.
    pub fn read(disk: &DiskFile) -> Result<Identities> {
        Ok(Identities {
            machine_id: disk.state_file("/machine/id")?,
            seed: disk.state_dump("/machine/seed")?,
            host_key: disk.state_dump(paths::SSH_HOST_KEY.trim_start_matches("/state")).ok(),
            disk: OfDisk::read(disk)?,
        })
    }

    /// Names of what two machines have in common; empty if all is well.
    #[must_use]
    pub fn shared_with(&self, other: &Identities) -> Vec<&'static str> {
        let mut shared = self.disk.shared_with(&other.disk);
        let host_key = self.host_key.is_some() && self.host_key == other.host_key;
        shared.extend(named([
            (self.machine_id == other.machine_id, "machine id"),
            (self.seed == other.seed, "seed"),
            (host_key, "SSH host key"),
        ]));
        shared
    }
}

/// The names of what holds.
fn named<const N: usize>(pairs: [(bool, &'static str); N]) -> Vec<&'static str> {
    pairs
        .into_iter()
        .filter_map(|(holds, name)| holds.then_some(name))
        .collect()
}
