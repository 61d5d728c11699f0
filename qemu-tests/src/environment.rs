//! What the cases run on: the image under test, the firmware, how much is to be run.

use std::path::PathBuf;

use anyhow::{Context, Result};
use keelson_os_build::cache::Cache;
use keelson_os_build::firmware::firmware;
use keelson_os_build::qemu::Accel;
use keelson_os_build::qemu::accel::Wish;

use crate::case::Extent;

/// Settings of a run, from the environment.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The image under test; never written.
    pub disk: PathBuf,
    /// Executable part of the firmware.
    pub firmware_code: PathBuf,
    /// Variable store that each machine gets a copy of.
    pub firmware_vars: PathBuf,
    /// Where cases work and where evidence of failures stays.
    pub work: PathBuf,
    /// Which cases run.
    pub extent: Extent,
    /// How machines run.
    pub accel: Accel,
}

impl Environment {
    /// Reads `KEELSON_QEMU` (`short` or `full`; nothing else runs a machine), `KEELSON_DISK`, `KEELSON_ACCEL` and
    /// `KEELSON_CACHE`. `None` when no machine is to be run.
    ///
    /// # Errors
    /// A setting is malformed, or image or firmware is missing.
    pub fn read() -> Result<Option<Environment>> {
        let Ok(extent) = std::env::var("KEELSON_QEMU") else {
            return Ok(None);
        };
        let extent = extent.parse().map_err(anyhow::Error::msg).context("KEELSON_QEMU")?;
        Environment::for_measuring(extent).map(Some)
    }

    /// The same without `KEELSON_QEMU`, for a program that always runs machines.
    ///
    /// # Errors
    /// As [`Environment::read`].
    pub fn for_measuring(extent: Extent) -> Result<Environment> {
        let disk = PathBuf::from(std::env::var("KEELSON_DISK").context("KEELSON_DISK must name the disk image")?);
        anyhow::ensure!(disk.exists(), "{} is missing: run `./just image`", disk.display());
        let firmware = firmware(&Cache::of_user()?).context("fetch the firmware")?;
        let wish: Wish = match std::env::var("KEELSON_ACCEL") {
            Ok(text) => text.parse().map_err(anyhow::Error::msg).context("KEELSON_ACCEL")?,
            Err(_) => Wish::Tcg,
        };
        let work = disk
            .parent()
            .map(|parent| parent.join("evidence"))
            .context("the image lies in no folder")?;
        Ok(Environment {
            disk,
            firmware_code: firmware.code,
            firmware_vars: firmware.variables,
            work,
            extent,
            accel: wish.resolve(),
        })
    }
}
