//! What the initramfs found out, handed to the system as JSON at [`crate::paths::BOOT_FACTS`]. Written once per boot,
//! before the first service starts; unknown fields are ignored, fields are only added.

use serde::{Deserialize, Serialize};

use crate::release::Release;
use crate::slot::Slot;

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
    /// Milestones in microseconds since the kernel started: name and time, in order.
    #[serde(default)]
    pub milestones: Vec<(String, u64)>,
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
            StateMount::ReadWrite => None,
            StateMount::ReadOnly { reason } | StateMount::Memory { reason } => Some(reason),
        }
    }
}
