//! Programs and libraries of Debian packages that a developer's machine uses without installing them: Docker's client for
//! the tests.

use std::path::PathBuf;

use thiserror::Error;

use crate::cache::Cache;
use crate::deb::{PackageError, Packages, Wanted};

/// Why there is no program.
#[derive(Debug, Error)]
pub enum ToolError {
    /// The package is not available.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The package does not have the program.
    #[error("package {package} has no {path}")]
    Missing {
        /// Package looked in.
        package: &'static str,
        /// File looked for.
        path: PathBuf,
    },
}

/// A program of a package, unpacked into the cache if it is not there.
///
/// # Errors
/// See [`ToolError`].
pub fn program(cache: &Cache, package: &'static str, path: &str) -> Result<PathBuf, ToolError> {
    find(cache, package, package, package, path)
}

/// The same of a suite of Debian by name (`trixie`, `forky`), so that several versions lie side by side.
///
/// # Errors
/// See [`ToolError`].
pub fn program_of(cache: &Cache, suite: &str, package: &'static str, path: &str) -> Result<PathBuf, ToolError> {
    let (record, wanted) = (format!("{package}-{suite}"), format!("{package}/{suite}"));
    find(cache, &record, &wanted, package, path)
}

/// Folders that several packages of a suite are unpacked in, in the order of their names here.
///
/// # Errors
/// See [`PackageError`].
pub fn folders(cache: &Cache, suite: &str, packages: &[&str]) -> Result<Vec<PathBuf>, PackageError> {
    let wanted: Vec<String> = packages.iter().map(|package| format!("{package}/{suite}")).collect();
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let record = format!("{}-{suite}", packages.join("-"));
    let found = Packages::resolve(cache, &record, Wanted::Exactly(&wanted), false, &|_| ())?;
    packages
        .iter()
        .map(|package| found.unpacked(found.find(package)?))
        .collect()
}

fn find(cache: &Cache, record: &str, wanted: &str, package: &'static str, path: &str) -> Result<PathBuf, ToolError> {
    let packages = Packages::resolve(cache, record, Wanted::Exactly(&[wanted]), false, &|_| ())?;
    let path = packages.unpacked(packages.find(package)?)?.join(path);
    if path.is_file() {
        Ok(path)
    } else {
        Err(ToolError::Missing { package, path })
    }
}
