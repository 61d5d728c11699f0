//! Rules of the source tree that no compiler checks: every file is compiled, says what it is, and unsafe code lives in
//! one crate.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// Asked at run time: a target folder that two clones share would keep the other one's path.
fn root() -> PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .parent()
        .unwrap()
        .to_owned()
}

/// Rust sources below the root that git would take, by folder walk.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    found
}

/// Files that may bring a module in: those beside it, and for a folder's `mod.rs`, or a module that has a folder, those
/// beside the folder.
fn parents(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().unwrap();
    let above = folder.parent().unwrap();
    let beside = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|other| other != path && other.extension().is_some_and(|kind| kind == "rs"))
            .collect()
    };
    let mut found = beside(folder);
    found.extend(beside(above));
    // A module may keep its tests one folder up.
    let below = path.file_stem().unwrap().to_string_lossy().replace("_test", "");
    found.push(folder.join(below).join("mod.rs"));
    found.retain(|parent| parent.is_file());
    found
}

/// `mod name;`, or a module whose file is named by an attribute.
fn names(text: &str, path: &Path) -> bool {
    let file = path.file_name().unwrap().to_string_lossy();
    let module = match path.file_stem().unwrap().to_string_lossy() {
        stem if stem == "mod" => path.parent().unwrap().file_name().unwrap().to_string_lossy(),
        stem => stem,
    };
    text.contains(&format!("mod {module};"))
        || text.contains(&format!("#[path = \"{file}\"]"))
        || text.contains(&format!("/{file}\"]"))
}

/// Files cargo finds by their place.
fn is_root(path: &Path) -> bool {
    let stem = path.file_stem().unwrap().to_string_lossy();
    let places = ["tests", "bin", "benches", "examples"];
    ["lib", "main", "build"].contains(&stem.as_ref())
        || (stem != "mod" && places.iter().any(|place| path.parent().unwrap().ends_with(place)))
}

#[test]
fn every_file_is_named_by_a_mod_line() {
    let named = |path: &PathBuf| {
        parents(path)
            .iter()
            .any(|parent| names(&fs::read_to_string(parent).unwrap(), path))
    };
    let silent: Vec<PathBuf> = sources()
        .into_iter()
        .filter(|path| !is_root(path) && !named(path))
        .collect();
    assert!(silent.is_empty(), "files nobody compiles: {silent:#?}");
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<PathBuf> = sources()
        .into_iter()
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "files without an opening //!: {silent:#?}");
}

#[test]
fn unsafe_code_lives_in_one_crate() {
    let sys = root().join("crates/sys");
    let marks = ["unsafe {", "unsafe fn", "unsafe impl", "allow(unsafe_code"];
    let own = Path::new(file!()).file_name().unwrap();
    let outside: Vec<PathBuf> = sources()
        .into_iter()
        .filter(|path| !path.starts_with(&sys) && path.file_name() != Some(own))
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            marks.iter().any(|mark| text.contains(mark))
        })
        .collect();
    assert!(outside.is_empty(), "unsafe code outside crates/sys: {outside:#?}");
}

/// A target folder that two clones share keeps what the first one compiled: its path would be used in the other.
#[test]
fn no_program_keeps_the_folder_it_was_compiled_in() {
    let mark = ["env!(", "\"CARGO_MANIFEST_DIR\")"].concat();
    let keeping: Vec<PathBuf> = sources()
        .into_iter()
        .filter(|path| fs::read_to_string(path).unwrap().contains(&mark))
        .collect();
    assert!(keeping.is_empty(), "ask std::env::var_os at run time: {keeping:#?}");
}
