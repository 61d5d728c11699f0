//! The facts of this boot, as the initramfs left them.

use anyhow::{Context, Result};
use keelson_image_layout::{BootFacts, paths};

/// Reads them.
///
/// # Errors
/// They are missing, or of a form that cannot be understood.
pub fn read() -> Result<BootFacts> {
    let text = std::fs::read(paths::BOOT_FACTS).with_context(|| format!("read {}", paths::BOOT_FACTS))?;
    serde_json::from_slice(&text).with_context(|| format!("understand {}", paths::BOOT_FACTS))
}
