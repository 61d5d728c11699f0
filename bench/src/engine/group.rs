//! A control group for one engine, and the processor time booked on it.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A group of the unified hierarchy; removed with everything below it.
#[derive(Debug)]
pub struct Group(PathBuf);

impl Group {
    /// Makes an empty group.
    pub fn new(hierarchy: &Path, name: &str) -> Result<Group> {
        let group = Group(hierarchy.join(format!("bench-{name}-{}", std::process::id())));
        std::fs::create_dir(&group.0).with_context(|| format!("make {}", group.0.display()))?;
        Ok(group)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::write(self.0.join("cgroup.kill"), "1");
        // Killed processes leave their groups a little later.
        for _ in 0..200 {
            if remove(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

fn remove(group: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(group)? {
        let path = entry?.path();
        if path.is_dir() {
            remove(&path)?;
        }
    }
    std::fs::remove_dir(group)
}
