//! The partition table of the system disk. Written by the image builder and once more at first boot (identities,
//! size of the last partition); never by an update.
//!
//! Type GUIDs of ESP, root and verity are those of the UAPI Discoverable Partitions Specification.

use uuid::{Uuid, uuid};

/// Bytes per logical sector; the image is made for 512-byte sectors.
pub const SECTOR: u64 = 512;
/// Partitions begin on multiples of this many bytes.
pub const ALIGNMENT: u64 = 1 << 20;
/// Bytes of an image's disk; a machine grows it to its own.
pub const IMAGE_BYTES: u64 = 4 << 30;
/// Smallest size of the state partition in an image, in bytes; first boot grows it to the end of the disk.
pub const STATE_MINIMUM: u64 = 256 << 20;

const MIB: u64 = 1 << 20;

/// A partition of the system disk, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// EFI system partition, FAT32: boot loader and the slots' boot entries.
    Esp,
    /// Two 4 KiB copies of the slot-state record.
    SlotState,
    /// Root file system of slot A.
    RootA,
    /// Hash tree of slot A.
    VerityA,
    /// Root file system of slot B.
    RootB,
    /// Hash tree of slot B.
    VerityB,
    /// ext4 with everything that outlives a release.
    State,
}

impl Part {
    /// All partitions in table order.
    pub const ALL: [Part; 7] = [
        Part::Esp,
        Part::SlotState,
        Part::RootA,
        Part::VerityA,
        Part::RootB,
        Part::VerityB,
        Part::State,
    ];

    /// What an installation medium has: a release once, and nothing that is written (its slot state is empty).
    pub const ON_MEDIUM: [Part; 4] = [Part::Esp, Part::SlotState, Part::RootA, Part::VerityA];

    /// Number in the partition table, from 1.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Part::Esp => 1,
            Part::SlotState => 2,
            Part::RootA => 3,
            Part::VerityA => 4,
            Part::RootB => 5,
            Part::VerityB => 6,
            Part::State => 7,
        }
    }

    /// Name in the partition table.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Part::Esp => "esp",
            Part::SlotState => "slot-state",
            Part::RootA => "root-a",
            Part::VerityA => "verity-a",
            Part::RootB => "root-b",
            Part::VerityB => "verity-b",
            Part::State => "state",
        }
    }

    /// Partition type.
    #[must_use]
    pub const fn type_guid(self) -> Uuid {
        match self {
            Part::Esp => uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
            Part::SlotState => uuid!("5a4b6f1c-7d0e-4c55-9f3a-6b65656c736e"),
            Part::RootA | Part::RootB => uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
            Part::VerityA | Part::VerityB => uuid!("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"),
            Part::State => uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d"),
        }
    }

    /// Size in bytes; `None` for the state partition, which takes the rest of the disk.
    #[must_use]
    pub const fn size(self) -> Option<u64> {
        match self {
            Part::Esp => Some(512 * MIB),
            Part::SlotState => Some(MIB),
            Part::RootA | Part::RootB => Some(1024 * MIB),
            Part::VerityA | Part::VerityB => Some(16 * MIB),
            Part::State => None,
        }
    }

    /// Offset of the partition's first byte on the disk.
    #[must_use]
    pub fn start(self) -> u64 {
        Part::ALL
            .iter()
            .take_while(|part| **part != self)
            .filter_map(|part| part.size())
            .sum::<u64>()
            + ALIGNMENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_follow_one_another_on_aligned_offsets() {
        let mut expected = ALIGNMENT;
        for part in Part::ALL {
            assert_eq!(part.start(), expected, "{}", part.label());
            assert_eq!(part.start() % ALIGNMENT, 0);
            expected += part.size().unwrap_or(0);
        }
    }

    #[test]
    fn numbers_are_those_of_the_table() {
        for (index, part) in Part::ALL.iter().enumerate() {
            assert_eq!(part.number() as usize, index + 1);
        }
    }

    #[test]
    fn hash_tree_of_a_full_root_fits_its_partition() {
        assert!(crate::hash_tree::tree_bytes(1024 * MIB / 4096) <= 16 * MIB);
    }
}
