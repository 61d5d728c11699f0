//! What a release says of itself, inside its own (signed) initramfs at [`crate::paths::RELEASE`].
//!
//! The root hash comes from here and never from the kernel command line, which firmware and the ESP can extend.

use serde::{Deserialize, Serialize};

use crate::verity::VerityParams;

/// The release description, JSON. Unknown fields are ignored, fields are only added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Version of this description; 1.
    pub format: u32,
    /// Version of the system, for instance `0.1.0`; at most 32 bytes (it must fit the slot-state record).
    pub version: String,
    /// Kernel release as `uname -r` prints it; names the module directory.
    pub kernel: String,
    /// Seconds since 1970 at which the release was made: the clock never starts before it.
    pub time: u64,
    /// How to map the root.
    pub verity: VerityParams,
}

/// Longest version in bytes.
pub const VERSION_BYTES: usize = 32;
