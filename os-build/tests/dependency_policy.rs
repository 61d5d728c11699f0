//! The rules for dependencies, over the resolved tree of the whole workspace: licences, and one version per crate.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Licences that may be linked into what we ship.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that may be there in two versions, with the reason.
const TWICE: &[(&str, &str)] = &[
    ("base64", "one user has not moved yet"),
    ("bitflags", "fatfs and others are on the old one"),
    ("getrandom", "ring is on the old one"),
    ("syn", "procedural macros only: nothing of it is linked"),
];

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let target = "x86_64-unknown-linux-gnu";
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--workspace",
            "--locked",
            "--target",
            target,
            "-e",
            "normal,build,dev",
            "--prefix",
            "none",
        ])
        .args(["--format", "{p}"])
        .output()
        .unwrap();
    // What other targets would need is in the metadata, but never compiled.
    let tree = String::from_utf8(tree.stdout).unwrap();
    let compiled: std::collections::HashSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?.trim_start_matches('v')))
        })
        .collect();
    let all = metadata["packages"].as_array().unwrap();
    all.iter()
        .filter(|package| !package["source"].is_null())
        .filter(|package| compiled.contains(&(package["name"].as_str().unwrap(), package["version"].as_str().unwrap())))
        .cloned()
        .collect()
}

/// Whether a licence expression can be satisfied with what is allowed: `OR` and the old `/` need one side, `AND` both.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let expression = expression.trim();
    if let Some((left, right)) = split_outside(expression, " OR ") {
        return is_allowed(left) || is_allowed(right);
    }
    if let Some((left, right)) = split_outside(expression, " AND ") {
        return is_allowed(left) && is_allowed(right);
    }
    if let Some(inner) = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        return is_allowed(inner);
    }
    // An exception only adds permissions.
    let name = expression.split(" WITH ").next().unwrap_or(expression);
    ALLOWED.contains(&name)
}

/// Splits at the first operator that is not inside brackets.
fn split_outside<'a>(text: &'a str, operator: &str) -> Option<(&'a str, &'a str)> {
    text.match_indices(operator)
        .find(|(at, _)| text[..*at].matches('(').count() == text[..*at].matches(')').count())
        .map(|(at, _)| (&text[..at], &text[at + operator.len()..]))
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "(MIT OR GPL-2.0) AND ISC",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(is_allowed(good), "{good}");
    }
    for bad in [
        "GPL-3.0-or-later",
        "MIT AND GPL-2.0",
        "LGPL-2.1",
        "(MIT AND LGPL-2.1) OR AGPL-3.0",
        "",
    ] {
        assert!(!is_allowed(bad), "{bad}");
    }
}

#[test]
fn every_dependency_may_be_linked() {
    let refused: Vec<String> = packages()
        .iter()
        .filter(|package| !is_allowed(package["license"].as_str().unwrap_or_default()))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn dependencies_are_there_once() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap().to_owned();
        versions
            .entry(name)
            .or_default()
            .push(package["version"].as_str().unwrap().to_owned());
    }
    let twice: Vec<_> = versions
        .into_iter()
        .filter(|(name, versions)| versions.len() > 1 && !TWICE.iter().any(|(allowed, _)| allowed == name))
        .collect();
    assert!(
        twice.is_empty(),
        "several versions without a reason in TWICE: {twice:#?}"
    );
}
