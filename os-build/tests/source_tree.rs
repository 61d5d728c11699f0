//! Rules of the source tree that no compiler checks: every file is compiled, says what it is, and unsafe code lives in
//! one crate.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
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

/// The file whose `mod` line brings a module in: its folder's `mod.rs`, the file named as the folder, or the root.
fn parents(path: &Path) -> Vec<PathBuf> {
    let own_folder = path.file_name().is_some_and(|name| name == "mod.rs");
    let folder = if own_folder {
        path.parent().unwrap().parent().unwrap()
    } else {
        path.parent().unwrap()
    };
    let mut parents = vec![folder.join("mod.rs"), folder.with_extension("rs")];
    parents.extend(["lib.rs", "main.rs"].map(|name| folder.join(name)));
    parents.retain(|parent| parent != path && parent.is_file());
    parents
}

#[test]
fn every_file_is_named_by_a_mod_line() {
    let mut silent = Vec::new();
    for path in sources() {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let name = if stem == "mod" {
            path.parent()
                .unwrap()
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        } else {
            stem.clone()
        };
        let is_root = ["lib", "main", "build"].contains(&stem.as_str())
            || path.parent().is_some_and(|folder| {
                folder.ends_with("tests")
                    || folder.ends_with("bin")
                    || folder.ends_with("benches")
                    || folder.ends_with("examples")
            });
        if is_root && stem != "mod" {
            continue;
        }
        let line = format!("mod {name};");
        if !parents(&path)
            .iter()
            .any(|parent| fs::read_to_string(parent).unwrap().contains(&line))
        {
            silent.push(path);
        }
    }
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
