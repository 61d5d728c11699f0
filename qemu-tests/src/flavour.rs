//! Images of other kinds than the one under test, built from the same programs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use keelson_os_build::cache::Cache;
use keelson_os_build::flavour::Flavour;
use keelson_os_build::format::Format;
use keelson_os_build::image;
use keelson_os_build::progress::Progress;

use crate::disk::DiskFile;
use crate::guest::Lab;

/// The folder of the programs that were built with this one.
///
/// # Errors
/// The program does not know where it lies.
pub fn programs() -> Result<PathBuf> {
    let own = std::env::current_exe().context("the path of this program")?;
    let folder = own.ancestors().find(|folder| folder.join("keelson-init").is_file());
    Ok(folder
        .context("no keelson-init beside this program: build the workspace")?
        .to_owned())
}

/// Builds an image of a flavour into the lab.
///
/// # Errors
/// The build's.
pub fn build(lab: &Lab, flavour: Flavour) -> Result<DiskFile> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the workspace")?;
    let request = image::Request {
        out: lab.directory().join(format!("{flavour}.img")),
        flavour,
        format: Format::Raw,
        programs: programs()?,
        source: source.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time: None,
        allow_missing: false,
        refresh: false,
    };
    image::build(&Cache::of_user()?, &request, Progress::silent())
        .with_context(|| format!("build the image of flavour {flavour}"))?;
    Ok(DiskFile::at(request.out))
}
