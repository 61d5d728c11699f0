//! The programs of the image and their units.

use std::path::Path;

use keelson_erofs::{Node, Tree};
use keelson_image_layout::paths;

use super::{Ingredients, RootError, files_of, has, read};

/// Our programs, by file name, in `/usr/bin`.
pub const PROGRAMS: [&str; 13] = [
    "keelson",
    "keelson-busd",
    "keelson-config",
    "keelson-init",
    "keelson-installd",
    "keelson-journald",
    "keelson-metadata",
    "keelson-netd",
    "keelson-oci",
    "keelson-runtimed",
    "keelson-shim",
    "keelson-sshd",
    "keelson-update",
];

/// Programs of others, each with its reason.
pub const FOREIGN: [(&str, &str); 1] = [("usr/sbin/e2fsck.static", "repairs the state file system after damage")];

/// Where unit files lie in the repository.
pub const UNIT_FOLDERS: [&str; 10] = [
    "init/units",
    "init/bus/units",
    "init/journal/units",
    "config-agent/units",
    "config-agent/metadata/units",
    "config-agent/netd/units",
    "runtime/units",
    "install-agent/units",
    "update-agent/units",
    "access-agent/server/units",
];

/// Adds the programs; says which of ours were left out.
pub(super) fn add(tree: &mut Tree, ingredients: &Ingredients<'_>) -> Result<Vec<&'static str>, RootError> {
    let path = |name: &&str| ingredients.programs.join(name);
    let (present, missing): (Vec<&str>, Vec<&str>) = PROGRAMS.iter().partition(|name| path(name).is_file());
    let enough = missing.is_empty() || ingredients.allow_missing && present.contains(&"keelson-init");
    if !enough {
        return Err(RootError::Missing {
            names: missing,
            folder: ingredients.programs.to_owned(),
        });
    }
    for name in present {
        tree.insert_with_parents(
            format!("{}/{name}", paths::PROGRAMS),
            Node::file_from(0o755, path(&name)),
        )?;
    }
    let found = ["sbin/e2fsck.static", "usr/sbin/e2fsck.static"].map(|place| ingredients.e2fsck.join(place));
    let e2fsck = found.into_iter().find(|path| path.is_file()).unwrap_or_default();
    tree.insert_with_parents(paths::E2FSCK, Node::file(0o755, read(&e2fsck)?))?;
    Ok(missing)
}

/// Where unit files of an installation medium lie in the repository.
const MEDIUM_UNIT_FOLDERS: [&str; 1] = ["install-agent/medium-units"];

/// Adds every `*.toml` of the unit folders that exist.
pub(super) fn add_units(tree: &mut Tree, source: &Path) -> Result<(), RootError> {
    let folders = UNIT_FOLDERS.iter().map(|folder| (folder, paths::UNITS));
    let of_medium = MEDIUM_UNIT_FOLDERS.iter().map(|folder| (folder, paths::MEDIUM_UNITS));
    for (folder, target) in folders
        .chain(of_medium)
        .map(|(folder, target)| (source.join(folder), target))
        .filter(|(folder, _)| folder.is_dir())
    {
        for file in files_of(&folder)?
            .iter()
            .filter(|file| file.extension().is_some_and(|end| end == "toml"))
        {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let path = format!("{target}/{name}");
            if has(tree, &path) || has(tree, &format!("{}/{name}", paths::UNITS)) {
                return Err(RootError::UnitTwice { name });
            }
            tree.insert_with_parents(path, Node::file(0o644, read(file)?))?;
        }
    }
    if has(tree, paths::UNITS) {
        return Ok(());
    }
    // A root without units starts nothing: a wrong folder must not end in one.
    Err(RootError::NoUnits {
        source_folder: source.to_owned(),
    })
}
