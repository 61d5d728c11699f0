//! The large image of the pull: whole Debian packages in a few layers, as an image of a language's tools would be.

use std::path::Path;

use anyhow::{Context, Result};
use keelson_os_build::cache::Cache;
use keelson_os_build::deb::{Packages, Wanted};
use keelson_os_build::oci::{Entry, Image, Layer, Start, image, layer};

/// One layer each, with everything they depend on that no earlier layer has.
const LAYERS: [(&str, &[&str]); 4] = [
    ("bench-base", &["bash", "coreutils", "perl", "ca-certificates"]),
    ("bench-python", &["python3", "git", "python3-numpy"]),
    ("bench-gcc", &["gcc", "g++"]),
    ("bench-java", &["openjdk-21-jre-headless"]),
];

/// Builds it; some 390 MB of gzip.
pub fn large(cache: &Cache) -> Result<Image> {
    let mut known = Vec::new();
    let mut layers = Vec::new();
    for (name, wanted) in LAYERS {
        let packages = Packages::resolve(cache, name, Wanted::WithDependencies(wanted), false, &|_| ())
            .with_context(|| format!("packages of layer {name}"))?;
        let mut folders = Vec::new();
        for package in packages.list() {
            if !known.contains(&package.name) {
                known.push(package.name.clone());
                folders.push(packages.unpacked(package)?);
            }
        }
        println!("layer {name}: {} packages", folders.len());
        layers.push(pack(&folders)?);
    }
    Ok(image(layers, &Start::default()))
}

fn pack(folders: &[std::path::PathBuf]) -> Result<Layer> {
    let mut entries = std::collections::BTreeMap::new();
    for folder in folders {
        walk(folder, "", &mut entries)?;
    }
    Ok(layer(&entries.into_values().collect::<Vec<_>>())?)
}

fn walk(folder: &Path, below: &str, entries: &mut std::collections::BTreeMap<String, Entry>) -> Result<()> {
    for found in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let found = found?;
        let path = format!("{below}{}", found.file_name().to_string_lossy());
        let kind = found.file_type()?;
        if kind.is_dir() {
            entries.insert(path.clone(), Entry::folder(&path, 0o755));
            walk(&found.path(), &format!("{path}/"), entries)?;
        } else if kind.is_symlink() {
            let target = std::fs::read_link(found.path())?;
            entries.insert(path.clone(), Entry::link(&path, &target.to_string_lossy()));
        } else {
            entries.insert(path.clone(), Entry::file(&path, 0o755, std::fs::read(found.path())?));
        }
    }
    Ok(())
}
