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
    build_with(lab, flavour, Format::Raw, false)
}

/// Builds an image of another version into the lab: the same programs, another release.
///
/// # Errors
/// The build's.
pub fn build_version(lab: &Lab, version: &str) -> Result<DiskFile> {
    let mut request = request(lab, Flavour::Cloud, Format::Raw, false)?;
    request.version = version.to_owned();
    request.out = lab.directory().join(format!("version-{version}.img"));
    make(request)
}

/// The same, trusting the repository that begins with this root of update metadata.
///
/// # Errors
/// The build's.
pub fn build_trusting(lab: &Lab, version: &str, root: &Path) -> Result<DiskFile> {
    let mut request = request(lab, Flavour::Cloud, Format::Raw, false)?;
    request.version = version.to_owned();
    request.out = lab.directory().join(format!("trusting-{version}.img"));
    request.update_root = Some(root.to_owned());
    make(request)
}

/// Builds the installation medium of a flavour into the lab.
///
/// # Errors
/// The build's.
pub fn medium(lab: &Lab, flavour: Flavour) -> Result<DiskFile> {
    build_with(lab, flavour, Format::Raw, true)
}

/// Builds an image of a flavour in a form of its own into the lab.
///
/// # Errors
/// The build's.
pub fn build_with(lab: &Lab, flavour: Flavour, format: Format, installer: bool) -> Result<DiskFile> {
    make(request(lab, flavour, format, installer)?)
}

fn make(request: image::Request) -> Result<DiskFile> {
    let kind = if request.installer { "medium" } else { "image" };
    image::build(&Cache::of_user()?, &request, Progress::silent())
        .with_context(|| format!("build the {kind} of flavour {}", request.flavour))?;
    Ok(DiskFile::at(request.out))
}

fn request(lab: &Lab, flavour: Flavour, format: Format, installer: bool) -> Result<image::Request> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").context("cargo names the package's folder")?;
    let source = Path::new(&package).parent().context("the workspace")?;
    let kind = if installer { "medium" } else { "image" };
    Ok(image::Request {
        out: lab.directory().join(format!("{flavour}-{kind}.{}", format.name())),
        flavour,
        format,
        installer,
        programs: programs()?,
        source: source.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time: None,
        update_root: None,
        allow_missing: false,
        refresh: false,
    })
}
