//! Identities a disk carries, read from outside.

use anyhow::{Context, Result};

use crate::disk::DiskFile;

/// Everything that must differ between two machines made from one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identities {
    /// Disk GUID and partition GUIDs, in table order.
    pub guids: Vec<String>,
    /// UUID of the state file system.
    pub state_uuid: Vec<u8>,
    /// Volume id of the ESP.
    pub esp_volume_id: Vec<u8>,
    /// Machine id.
    pub machine_id: String,
    /// Seed of the generator, as text dump.
    pub seed: Vec<u8>,
}

impl Identities {
    /// Reads them.
    ///
    /// # Errors
    /// The table, the state partition or one of its files is not readable.
    pub fn read(disk: &DiskFile) -> Result<Identities> {
        use keelson_image_layout::Part;
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
        Ok(Identities {
            guids,
            // ext4 superblock at 1024, s_uuid at 0x68; FAT32 boot sector, volume id at 67.
            state_uuid: disk.read(Part::State.start() + 1024 + 0x68, 16)?,
            esp_volume_id: disk.read(Part::Esp.start() + 67, 4)?,
            machine_id: disk.state_file("/machine/id")?,
            seed: disk.state_dump("/machine/seed")?,
        })
    }

    /// Names of what two machines have in common; empty if all is well.
    #[must_use]
    pub fn shared_with(&self, other: &Identities) -> Vec<&'static str> {
        let guids = self.guids.iter().any(|guid| other.guids.contains(guid));
        [
            (guids, "disk or partition GUID"),
            (self.state_uuid == other.state_uuid, "state file system UUID"),
            (self.esp_volume_id == other.esp_volume_id, "ESP volume id"),
            (self.machine_id == other.machine_id, "machine id"),
            (self.seed == other.seed, "seed"),
        ]
        .into_iter()
        .filter_map(|(shared, name)| shared.then_some(name))
        .collect()
    }
}
