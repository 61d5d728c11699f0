//! The Debian kernel as material for an image: its release, its boot image and the modules by what they say of
//! themselves. Modules are kept unpacked; the signature at their end survives that.

mod closure;
pub mod groups;
mod index;
mod modinfo;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use lzma_rust2::XzReader;
use thiserror::Error;

pub use closure::{ClosureError, closure};
pub use index::{Indexes, indexes};
pub use modinfo::{ModInfo, ModInfoError, parse_modinfo};

use crate::cache::{Cache, CacheError};
use crate::deb::{PackageError, Packages};

/// A module of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Path below the release's module folder, for instance `kernel/fs/erofs/erofs.ko`.
    pub path: String,
    /// The unpacked file on this host.
    pub file: PathBuf,
    /// What it says of itself.
    pub info: ModInfo,
}

impl Module {
    /// Its name, with underscores.
    #[must_use]
    pub fn name(&self) -> String {
        module_name(Path::new(&self.path))
    }
}

/// A kernel and its modules.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// What `uname -r` will print.
    pub release: String,
    /// The boot image.
    pub image: PathBuf,
    /// Seconds since 1970 at which the package was made.
    pub time: u64,
    /// Modules by name, with underscores.
    pub modules: BTreeMap<String, Module>,
    /// `modules.builtin` and `modules.builtin.modinfo` as the package has them.
    pub builtin: [Vec<u8>; 2],
}

/// Why a kernel package is of no use.
#[derive(Debug, Error)]
pub enum KernelError {
    /// The package is not available.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file cannot be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel or the decoder said.
        #[source]
        source: io::Error,
    },
    /// The package has no kernel where Debian keeps it.
    #[error("no {what} in the kernel package")]
    Missing {
        /// What was looked for.
        what: &'static str,
    },
    /// A module does not say what it is.
    #[error("module {path} cannot be read")]
    Module {
        /// The module.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ModInfoError,
    },
    /// Modules asked for are not there.
    #[error(transparent)]
    Closure(#[from] ClosureError),
}

const PACKAGE: &str = "linux-image-";

impl Kernel {
    /// Takes the kernel out of its package.
    ///
    /// # Errors
    /// See [`KernelError`].
    pub fn load(cache: &Cache, packages: &Packages) -> Result<Kernel, KernelError> {
        let package = packages.find(PACKAGE)?;
        let unpacked = packages.unpacked(package)?;
        let modules_at = modules_folder(&unpacked)?;
        let release = file_name(&modules_at);
        let image = unpacked.join(format!("boot/vmlinuz-{release}"));
        let name = format!("modules/{release}-{}", package.sha256.get(..16).unwrap_or_default());
        let raw = cache.filled_once(&name, |target| unpack_modules(&modules_at, target))?;
        Ok(Kernel {
            time: modified(&image)?,
            builtin: [
                read(&modules_at.join("modules.builtin"))?,
                read(&modules_at.join("modules.builtin.modinfo"))?,
            ],
            modules: scan(&raw)?,
            release,
            image,
        })
    }

    /// The modules of these groups and all they need, in the order they can be loaded.
    ///
    /// # Errors
    /// A module is neither in the package nor built in.
    pub fn select(&self, groups: &[groups::Group]) -> Result<Vec<&Module>, KernelError> {
        let wanted = groups.iter().flat_map(|group| group.modules.iter().copied());
        let infos = self
            .modules
            .iter()
            .map(|(name, module)| (name.as_str(), &module.info))
            .collect();
        let names = closure(&infos, wanted, &self.builtin_names())?;
        Ok(names.iter().filter_map(|name| self.modules.get(name)).collect())
    }

    /// Firmware files that these groups' modules may ask for.
    ///
    /// # Errors
    /// As [`Kernel::select`].
    pub fn firmware(&self, groups: &[groups::Group]) -> Result<Vec<String>, KernelError> {
        let modules = self.select(groups)?;
        let files: BTreeSet<&String> = modules.iter().flat_map(|module| &module.info.firmware).collect();
        Ok(files.into_iter().cloned().collect())
    }

    fn builtin_names(&self) -> Vec<String> {
        let [list, _] = &self.builtin;
        String::from_utf8_lossy(list)
            .lines()
            .map(|line| module_name(Path::new(line)))
            .collect()
    }
}

/// `kernel/lib/crc-itu-t.ko.xz` → `crc_itu_t`.
fn module_name(path: &Path) -> String {
    let name = file_name(path);
    name.split(".ko").next().unwrap_or_default().replace('-', "_")
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> KernelError + '_ {
    |source| KernelError::File {
        path: path.to_owned(),
        source,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KernelError> {
    std::fs::read(path).map_err(file_error(path))
}

fn modified(path: &Path) -> Result<u64, KernelError> {
    let time = std::fs::metadata(path)
        .and_then(|meta| meta.modified())
        .map_err(file_error(path))?;
    Ok(time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs())
}

fn modules_folder(unpacked: &Path) -> Result<PathBuf, KernelError> {
    let missing = KernelError::Missing { what: "module folder" };
    let places = ["usr/lib/modules", "lib/modules"].map(|place| unpacked.join(place));
    let mut releases = places
        .iter()
        .filter_map(|place| std::fs::read_dir(place).ok())
        .flatten()
        .flatten();
    releases.next().map(|entry| entry.path()).ok_or(missing)
}

/// Paths of all files below `root`, relative, sorted.
fn files_below(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Writes every module of `from` below `to` without its compression.
fn unpack_modules(from: &Path, to: &Path) -> Result<(), KernelError> {
    for path in files_below(from).map_err(file_error(from))? {
        let name = path.to_string_lossy();
        let Some(plain) = name
            .strip_suffix(".xz")
            .or_else(|| name.ends_with(".ko").then_some(&name))
        else {
            continue;
        };
        let target = to.join(plain);
        let source = from.join(&path);
        unpack_module(&source, &target).map_err(file_error(&source))?;
    }
    Ok(())
}

fn unpack_module(source: &Path, target: &Path) -> io::Result<()> {
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let packed = std::fs::read(source)?;
    let mut file = std::fs::File::create(target)?;
    if source.extension().is_some_and(|extension| extension == "xz") {
        io::copy(&mut XzReader::new(packed.as_slice(), true), &mut file)?;
    } else {
        io::Write::write_all(&mut file, &packed)?;
    }
    Ok(())
}

fn scan(root: &Path) -> Result<BTreeMap<String, Module>, KernelError> {
    let mut modules = BTreeMap::new();
    for path in files_below(root).map_err(file_error(root))? {
        let file = root.join(&path);
        let info = parse_modinfo(&read(&file)?).map_err(|source| KernelError::Module {
            path: file.clone(),
            source,
        })?;
        let path = path.to_string_lossy().into_owned();
        modules.insert(module_name(Path::new(&path)), Module { path, file, info });
    }
    Ok(modules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_names_have_no_dashes_and_no_ending() {
        for (path, name) in [
            ("kernel/lib/crc-itu-t.ko.xz", "crc_itu_t"),
            ("a/dm-mod.ko", "dm_mod"),
            ("x/erofs.ko.zst", "erofs"),
        ] {
            assert_eq!(module_name(Path::new(path)), name);
        }
    }
}
