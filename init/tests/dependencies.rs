//! PID 1 links nothing that could start a thread or speak a network protocol.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

/// Asynchronous runtimes, thread pools, and what brings them.
const FORBIDDEN: [&str; 16] = [
    "tokio",
    "async-std",
    "async-io",
    "smol",
    "futures",
    "futures-util",
    "mio",
    "rayon",
    "zbus",
    "hyper",
    "reqwest",
    "rustls",
    "ring",
    "openssl",
    "hickory-proto",
    "crossbeam-channel",
];

#[test]
fn pid_1_resolves_no_asynchronous_crate() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--package",
            "keelson-init",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .current_dir(std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(
        names.contains(&"rustix"),
        "no dependencies read: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let found: Vec<_> = names.iter().filter(|name| FORBIDDEN.contains(name)).collect();
    assert!(found.is_empty(), "PID 1 must not link {found:?}");
}

#[test]
fn every_source_file_belongs_to_a_module() {
    let source = std::path::Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("src");
    let mut pending = vec![source.clone()];
    let mut files = Vec::new();
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => pending.push(path),
                false => files.push(path),
            }
        }
    }
    let all: String = files
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap_or_default())
        .collect();
    for path in files
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
    {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let name = if stem == "mod" {
            path.parent().unwrap().file_name().unwrap().to_str().unwrap()
        } else {
            stem
        };
        let root = ["lib", "main"].contains(&name);
        assert!(
            root || all.contains(&format!("mod {name};")) || all.contains(&format!("\"{name}.rs\"")),
            "{} is in no module",
            path.display()
        );
    }
}
