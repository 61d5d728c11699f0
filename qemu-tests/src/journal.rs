//! The journal a machine left on its disk.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use keelson_image_layout::Part;
use keelson_journald::store::{Limits, Reader};
use keelson_journald::{Entry, Store};

use crate::disk::DiskFile;

/// All entries, oldest first.
///
/// # Errors
/// The state partition or the store cannot be read.
pub fn entries(disk: &DiskFile, work: &Path) -> Result<Vec<Entry>> {
    let target = format!("{}?offset={}", disk.path().display(), Part::State.start());
    let folder = tempfile::tempdir_in(work)?;
    let dump = format!("rdump /journal {}", folder.path().display());
    let output = Command::new("/usr/sbin/debugfs")
        .args(["-R", &dump, &target])
        .output()
        .context("run debugfs")?;
    ensure!(
        output.status.success(),
        "debugfs: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let unbounded = Limits {
        total: u64::MAX,
        segment: 1 << 30,
    };
    let store = Store::open(&folder.path().join("journal"), unbounded, [0; 16]).context("open the store")?;
    let mut reader = Reader::at_start(&store);
    let mut found = Vec::new();
    while let Some(entry) = reader.next(&store)? {
        found.push(entry);
    }
    Ok(found)
}
