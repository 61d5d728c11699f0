//! The demonstration: Debian's nginx with a page that says Keelson, as a container image. Out of the package and
//! everything it depends on, exactly the program and the libraries it is linked with are taken.

mod libraries;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::cache::Cache;
use crate::deb::{PackageError, Packages, Wanted};
use crate::oci::{Entry, Image, Layer, Start, image, layer};

pub use libraries::{LibraryError, linked_files};

/// What the page shows; callers look for it.
pub const PAGE_TITLE: &str = "Keelson is running";
/// Port the server listens on.
pub const PORT: u16 = 80;

const PROGRAM: &str = "usr/sbin/nginx";
const CONFIGURATION: &str = include_str!("nginx.conf");
const PAGE: &str = include_str!("index.html");

/// Why the image could not be made.
#[derive(Debug, Error)]
pub enum DemoError {
    /// The packages are not available.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// Something the program is linked with is missing.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A layer cannot be written.
    #[error("layer of the demonstration image")]
    Layer(#[source] io::Error),
}

/// Builds the image; `tell` is told how far it is.
///
/// # Errors
/// See [`DemoError`].
pub fn build(cache: &Cache, tell: &dyn Fn(&str)) -> Result<Image, DemoError> {
    let packages = Packages::resolve(cache, "demo", Wanted::WithDependencies(&["nginx"]), false, tell)?;
    let folders = packages
        .list()
        .iter()
        .map(|package| packages.unpacked(package))
        .collect::<Result<Vec<_>, _>>()?;
    let start = Start {
        command: ["/usr/sbin/nginx", "-g", "daemon off;"].map(str::to_owned).to_vec(),
        environment: vec!["PATH=/usr/sbin:/usr/bin".to_owned()],
        ports: vec![PORT],
        stop_signal: "SIGQUIT".to_owned(),
    };
    Ok(image(vec![base(&folders, PROGRAM)?, site(&folders)?], &start))
}

/// One program out of a Debian package, with what it is linked with, as an image's layers.
///
/// # Errors
/// See [`DemoError`].
pub fn program_of_debian(cache: &Cache, package: &'static str, program: &str) -> Result<Vec<Layer>, DemoError> {
    let wanted = [package];
    let packages = Packages::resolve(cache, package, Wanted::WithDependencies(&wanted), false, &|_| ())?;
    let unpacked = packages.list().iter().map(|package| packages.unpacked(package));
    let folders = unpacked.collect::<Result<Vec<_>, _>>()?;
    let found = linked_files(&folders, program)?;
    let own = found.get(program).map(|file| copied(program, file)).transpose()?;
    let own = layer(own.as_slice()).map_err(DemoError::Layer)?;
    Ok(vec![base(&folders, program)?, own])
}

/// The libraries of a program, and the skeleton of a system around them.
fn base(folders: &[PathBuf], program: &str) -> Result<Layer, DemoError> {
    let mut entries: Vec<Entry> = [
        "dev",
        "etc",
        "proc",
        "run",
        "sys",
        "usr",
        "usr/bin",
        "usr/lib",
        "usr/lib64",
        "usr/sbin",
        "var",
        "var/log",
    ]
    .map(|path| Entry::folder(path, 0o755))
    .to_vec();
    entries.push(Entry::folder("tmp", 0o1777));
    entries.extend(["bin", "lib", "lib64", "sbin"].map(|name| Entry::link(name, &format!("usr/{name}"))));
    entries.push(Entry::file(
        "etc/passwd",
        0o644,
        "root:x:0:0:root:/:/usr/sbin/nologin\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n",
    ));
    entries.push(Entry::file("etc/group", 0o644, "root:x:0:\nwww-data:x:33:\n"));
    let mut parents = Vec::new();
    for (path, file) in linked_files(folders, program)? {
        if path != program {
            add_parents(&mut entries, &mut parents, &path);
            entries.push(copied(&path, &file)?);
        }
    }
    layer(&entries).map_err(DemoError::Layer)
}

/// The server, its settings and the page.
fn site(folders: &[PathBuf]) -> Result<Layer, DemoError> {
    let found = |path: &str| {
        let missing = || LibraryError::Missing {
            name: path.to_owned(),
            needed_by: "the demonstration".to_owned(),
        };
        folders
            .iter()
            .map(|folder| folder.join(path))
            .find(|path| path.is_file())
            .ok_or_else(missing)
    };
    let entries = [
        copied(PROGRAM, &found(PROGRAM)?)?,
        Entry::folder("etc/nginx", 0o755),
        copied("etc/nginx/mime.types", &found("etc/nginx/mime.types")?)?,
        Entry::file("etc/nginx/nginx.conf", 0o644, CONFIGURATION),
        Entry::folder("usr/share", 0o755),
        Entry::folder("usr/share/keelson", 0o755),
        Entry::file(
            "usr/share/keelson/index.html",
            0o644,
            PAGE.replace("{title}", PAGE_TITLE),
        ),
        Entry::folder("var/log/nginx", 0o755),
        Entry::folder("var/lib", 0o755),
        Entry::folder("var/lib/nginx", 0o755),
    ];
    layer(&entries).map_err(DemoError::Layer)
}

fn add_parents(entries: &mut Vec<Entry>, known: &mut Vec<String>, path: &str) {
    for (at, _) in path.match_indices('/') {
        let folder = path.get(..at).unwrap_or_default().to_owned();
        if !known.contains(&folder) && !entries.iter().any(|entry| entry.path == folder) {
            entries.push(Entry::folder(&folder, 0o755));
            known.push(folder);
        }
    }
}

/// A file or link as the package has it, with plain permissions.
fn copied(path: &str, from: &Path) -> Result<Entry, DemoError> {
    let failed = |source| DemoError::Read {
        path: from.to_owned(),
        source,
    };
    let kind = std::fs::symlink_metadata(from).map_err(failed)?;
    if kind.is_symlink() {
        let target = std::fs::read_link(from).map_err(failed)?;
        return Ok(Entry::link(path, &target.to_string_lossy()));
    }
    let executable = std::os::unix::fs::PermissionsExt::mode(&kind.permissions()) & 0o100 != 0;
    Ok(Entry::file(
        path,
        if executable { 0o755 } else { 0o644 },
        std::fs::read(from).map_err(failed)?,
    ))
}
