//! Sets of packages by exact version and digest, kept in the cache so that a second build needs no network.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::apt::{Apt, AptError, Choice};
use super::sources::{Archives, SourcesError};
use super::unpack::{UnpackError, control_field, unpack};
use crate::cache::{Cache, CacheError};
use crate::digest::{hex, sha256_file};

/// How long a resolved set is used before apt is asked again.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// What to resolve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// These packages alone.
    Exactly(&'a [&'a str]),
    /// These packages and everything they depend on.
    WithDependencies(&'a [&'a str]),
}

/// A package on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Name of the binary package.
    pub name: String,
    /// Exact version.
    pub version: String,
    /// Digest of the package file, 64 hexadecimal digits; checked against the signed index by apt and by us.
    pub sha256: String,
    /// Where the archive keeps it, relative.
    pub filename: String,
    /// Name and version of the source package.
    #[serde(default)]
    pub source: String,
}

/// Why packages are not available.
#[derive(Debug, Error)]
pub enum PackageError {
    /// The host's sources are of no use.
    #[error(transparent)]
    Sources(#[from] SourcesError),
    /// apt failed.
    #[error(transparent)]
    Apt(#[from] AptError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A package is damaged.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// A file of the cache is not what its digest says.
    #[error("{path} does not have the digest its signed index names; delete it and try again")]
    Digest {
        /// The file.
        path: PathBuf,
    },
    /// A file of the cache cannot be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// A set holds no package of this name.
    #[error("package {name} is not in the resolved set")]
    Missing {
        /// Name or beginning of the name.
        name: String,
    },
}

/// A resolved set, every file present and checked.
#[derive(Debug, Clone)]
pub struct Packages {
    cache: Cache,
    list: Vec<Package>,
    /// Whether apt could not be asked and an older resolution is used.
    pub stale: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Resolution {
    at: u64,
    packages: Vec<Package>,
}

impl Packages {
    /// Resolves a set. `name` is its place in the cache; a resolution younger than a day is used as it is unless
    /// `refresh`. If the archive cannot be reached, an older one is used and said so.
    ///
    /// `tell` is told how far it is.
    ///
    /// # Errors
    /// The set can neither be resolved nor found complete in the cache.
    pub fn resolve(
        cache: &Cache,
        name: &str,
        wanted: Wanted<'_>,
        refresh: bool,
        tell: &dyn Fn(&str),
    ) -> Result<Packages, PackageError> {
        let record = cache.folder("packages")?.join(format!("{name}.json"));
        let known = read_resolution(&record);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if let Some(known) = &known
            && !refresh
            && known.packages.iter().all(|package| !package.source.is_empty())
            && now.saturating_sub(Duration::from_secs(known.at)) < FRESH
            && let Ok(found) = Packages::checked(cache, known.packages.clone(), None)
        {
            return Ok(found);
        }
        match ask_apt(cache, wanted, tell) {
            Ok(packages) => {
                let text = serde_json::to_vec_pretty(&Resolution {
                    at: now.as_secs(),
                    packages: packages.clone(),
                });
                keelson_durable::replace(&record, &text.unwrap_or_default(), 0o644)
                    .map_err(|source| PackageError::File { path: record, source })?;
                Packages::checked(cache, packages, None)
            }
            Err(error) => match known {
                Some(known) => Packages::checked(cache, known.packages, Some(error.to_string())),
                None => Err(error),
            },
        }
    }

    fn checked(cache: &Cache, list: Vec<Package>, stale: Option<String>) -> Result<Packages, PackageError> {
        let found = Packages {
            cache: cache.clone(),
            list,
            stale,
        };
        for package in &found.list {
            let path = found.path(package)?;
            let digest = sha256_file(&path).map_err(|source| PackageError::File {
                path: path.clone(),
                source,
            })?;
            if hex(&digest) != package.sha256 {
                return Err(PackageError::Digest { path });
            }
        }
        Ok(found)
    }

    /// The packages, by name.
    #[must_use]
    pub fn list(&self) -> &[Package] {
        &self.list
    }

    /// The package whose name begins so; the first by name.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, prefix: &str) -> Result<&Package, PackageError> {
        let found = self.list.iter().find(|package| package.name.starts_with(prefix));
        found.ok_or_else(|| PackageError::Missing {
            name: prefix.to_owned(),
        })
    }

    /// A package's files, unpacked once.
    ///
    /// # Errors
    /// The package is damaged or the cache cannot be written.
    pub fn unpacked(&self, package: &Package) -> Result<PathBuf, PackageError> {
        let file = self.path(package)?;
        let name = format!("unpacked/{}-{}", package.name, short(&package.sha256));
        self.cache.filled_once(&name, |target| Ok(unpack(&file, target)?))
    }

    /// The package file.
    fn path(&self, package: &Package) -> Result<PathBuf, PackageError> {
        Ok(self.cache.folder("debs")?.join(format!("{}.deb", package.sha256)))
    }
}

/// Enough of a digest to name a folder.
fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

fn read_resolution(path: &Path) -> Option<Resolution> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// One process at a time: apt's folders are shared by every build of this user.
fn lock(cache: &Cache) -> Result<File, PackageError> {
    let path = cache.folder("apt")?.join("os-build.lock");
    let file = File::create(&path).and_then(|file| file.lock().map(|()| file));
    file.map_err(|source| PackageError::File { path, source })
}

fn ask_apt(cache: &Cache, wanted: Wanted<'_>, tell: &dyn Fn(&str)) -> Result<Vec<Package>, PackageError> {
    let _locked = lock(cache)?;
    let apt = Apt::configure(&cache.folder("apt")?, &Archives::of_host(Path::new("/etc/apt"))?)?;
    tell("asking the archive");
    apt.update()?;
    let choices: Vec<String> = match wanted {
        Wanted::WithDependencies(names) => apt
            .closure(names)?
            .into_iter()
            .map(|choice| format!("{}={}", choice.name, choice.version))
            .collect(),
        Wanted::Exactly(names) => names
            .iter()
            .map(|name| resolve_name(&apt, name))
            .collect::<Result<Vec<_>, _>>()?,
    };
    let mut packages = Vec::new();
    for (index, choice) in choices.iter().enumerate() {
        tell(&format!("{} of {}: {choice}", index + 1, choices.len()));
        packages.push(fetch(cache, &apt, choice)?);
    }
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

/// A name that ends in `->PREFIX` stands for the dependency of that package which begins so: metapackages name the
/// versioned package they bring.
fn resolve_name(apt: &Apt, name: &str) -> Result<String, PackageError> {
    let Some((meta, prefix)) = name.split_once("->") else {
        return Ok(name.to_owned());
    };
    let record = apt.show(meta)?;
    let depends = control_field(&record, "Depends").unwrap_or_default();
    depends
        .split(',')
        .filter_map(|dependency| dependency.split_whitespace().next())
        .find(|dependency| dependency.starts_with(prefix))
        .map(str::to_owned)
        .ok_or_else(|| PackageError::Missing {
            name: format!("{prefix}… (dependency of {meta})"),
        })
}

fn fetch(cache: &Cache, apt: &Apt, package: &str) -> Result<Package, PackageError> {
    let record = apt.show(package)?;
    let field = |field: &'static str| {
        let missing = AptError::Record {
            package: package.to_owned(),
            field,
        };
        control_field(&record, field).map(str::to_owned).ok_or(missing)
    };
    let found = Package {
        source: source_of(&record),
        name: field("Package")?,
        version: field("Version")?,
        sha256: field("SHA256")?,
        filename: field("Filename")?,
    };
    let path = cache.folder("debs")?.join(format!("{}.deb", found.sha256));
    if !path.is_file() {
        download(cache, apt, &found, &path)?;
    }
    Ok(found)
}

/// `NAME VERSION` of the source package: the record names them only where they differ from the binary package's.
fn source_of(record: &str) -> String {
    let field = |name| control_field(record, name).unwrap_or_default();
    let (name, version) = match control_field(record, "Source").map(|source| source.split_once(" (")) {
        Some(Some((name, version))) => (name, version.trim_end_matches(')')),
        Some(None) => (field("Source"), field("Version")),
        None => (field("Package"), field("Version")),
    };
    format!("{name} {version}")
}

fn download(cache: &Cache, apt: &Apt, package: &Package, to: &Path) -> Result<(), PackageError> {
    let failed = |path: &Path, source| PackageError::File {
        path: path.to_owned(),
        source,
    };
    let debs = cache.folder("debs")?;
    let fresh = tempfile::tempdir_in(&debs).map_err(|source| failed(&debs, source))?;
    let choice = Choice {
        name: package.name.clone(),
        version: package.version.clone(),
    };
    apt.download(&choice, fresh.path())?;
    let entries = std::fs::read_dir(fresh.path()).map_err(|source| failed(fresh.path(), source))?;
    let file = entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "deb"));
    let file = file.ok_or_else(|| PackageError::Missing {
        name: package.name.clone(),
    })?;
    std::fs::rename(&file, to).map_err(|source| failed(to, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(cache: &Cache, content: &[u8]) -> Package {
        let sha256 = hex(&crate::digest::sha256(content));
        std::fs::write(cache.folder("debs").unwrap().join(format!("{sha256}.deb")), content).unwrap();
        Package {
            name: "x".into(),
            version: "1".into(),
            sha256,
            filename: "pool/x.deb".into(),
            source: "x 1".into(),
        }
    }

    #[test]
    fn the_source_package_is_named_with_its_own_version() {
        let table = [
            ("Package: a\nVersion: 1\n", "a 1"),
            ("Package: a\nSource: b\nVersion: 1\n", "b 1"),
            ("Package: a\nSource: b (2+3)\nVersion: 1\n", "b 2+3"),
        ];
        for (record, source) in table {
            assert_eq!(source_of(record), source);
        }
    }

    #[test]
    fn a_recent_resolution_is_used_without_asking_and_digests_are_checked() {
        let place = tempfile::tempdir().unwrap();
        let cache = Cache::at(place.path());
        let known = package(&cache, b"content");
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let text = serde_json::to_vec(&Resolution {
            at,
            packages: vec![known.clone()],
        })
        .unwrap();
        std::fs::write(cache.folder("packages").unwrap().join("set.json"), text).unwrap();
        let found = Packages::resolve(&cache, "set", Wanted::Exactly(&[]), false, &|_| ()).unwrap();
        assert_eq!(found.list(), std::slice::from_ref(&known));

        std::fs::write(found.path(&known).unwrap(), b"changed").unwrap();
        let error = Packages::checked(&cache, vec![known], None).unwrap_err();
        assert!(matches!(error, PackageError::Digest { .. }), "{error}");
    }
}
