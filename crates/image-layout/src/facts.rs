//! What the initramfs found out, handed to the system as JSON at [`crate::paths::BOOT_FACTS`]. Written once per boot,
//! before the first service starts; unknown fields are ignored, fields are only added.

use serde::{Deserialize, Serialize};

use crate::release::Release;
use crate::slot::Slot;
use crate::slot_state::{Reason, SlotState, State};
use crate::verity::RootHash;

/// The facts of this boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootFacts {
    /// Version of this document; 1.
    pub format: u32,
    /// The running release.
    pub release: Release,
    /// The slot it was started from.
    pub slot: Slot,
    /// Whether the slot is still on trial.
    pub trial: bool,
    /// This boot's id, 32 hexadecimal digits (the kernel's `boot_id` without dashes).
    pub boot_id: String,
    /// Whether identities were made on this boot.
    pub first_boot: bool,
    /// The system disk.
    pub disk: Disk,
    /// What stands behind `/state`.
    pub state: StateMount,
    /// Why the previous boot ended, if the initramfs found a trace: for instance `corruption`, `panic`.
    #[serde(default)]
    pub previous_failure: Option<String>,
    /// The slots as the record had them once this boot was counted, slot A first; absent if it cannot be read.
    #[serde(default)]
    pub slots: Option<[SlotFacts; 2]>,
    /// Root hashes of releases that were given up on this machine.
    #[serde(default)]
    pub rejected: Vec<RootHash>,
    /// Whether the firmware checked what it started.
    #[serde(default)]
    pub secure_boot: SecureBoot,
    /// Milestones in microseconds since the kernel started: name and time, in order.
    #[serde(default)]
    pub milestones: Vec<(String, u64)>,
}

/// What the firmware says of Secure Boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecureBoot {
    /// It starts signed programs only.
    On,
    /// It starts anything.
    Off,
    /// It has no keys yet and takes those it is given first.
    Setup,
    /// It says nothing, or there are no variables to read.
    #[default]
    #[serde(other)]
    Unknown,
}

/// What is known of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotFacts {
    /// What it is good for.
    pub state: State,
    /// Boots it may still begin.
    pub tries: u8,
    /// Why it last lost one.
    pub reason: Reason,
    /// The release in it.
    pub version: String,
}

impl SlotFacts {
    /// Both slots of a record, slot A first.
    #[must_use]
    pub fn of(state: &SlotState) -> [SlotFacts; 2] {
        Slot::ALL.map(|slot| {
            let record = state.slot(slot);
            SlotFacts {
                state: record.state,
                tries: record.tries,
                reason: record.reason,
                version: record.version_text(),
            }
        })
    }
}

/// Device nodes of the system disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The whole disk, for instance `/dev/vda`.
    pub device: String,
    /// EFI system partition.
    pub esp: String,
    /// Slot-state partition.
    pub slot_state: String,
    /// State partition.
    pub state: String,
    /// What the slots consist of, slot A first; absent on an installation medium, which has one.
    #[serde(default)]
    pub slots: Option<[SlotNodes; 2]>,
}

/// Device nodes of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotNodes {
    /// Root file system.
    pub root: String,
    /// Its hash tree.
    pub tree: String,
}

/// How the state partition could be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub enum StateMount {
    /// Mounted for writing.
    ReadWrite,
    /// Damaged, mounted for reading.
    ReadOnly {
        /// What was found.
        reason: String,
    },
    /// The system runs from an installation medium; `/state` is in memory, and nothing on any disk is written.
    Medium,
    /// Unusable and left alone; `/state` is in memory.
    Memory {
        /// What was found.
        reason: String,
    },
}

impl StateMount {
    /// Why the machine is degraded, if it is.
    #[must_use]
    pub fn degraded(&self) -> Option<&str> {
        match self {
            StateMount::ReadWrite | StateMount::Medium => None,
            StateMount::ReadOnly { reason } | StateMount::Memory { reason } => Some(reason),
        }
    }
}
