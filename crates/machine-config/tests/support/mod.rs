//! What the tests over documents share: finding them, checking them, comparing what came of it, and planting faults.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses its part; a failure is a failed test"
)]

pub mod faults;

use std::fs;
use std::path::{Path, PathBuf};

use keelson_machine_config::render::{Style, human};
use keelson_machine_config::{Verdict, validate};

/// The package's folder. Asked at run time: a target folder that two clones share would keep the other one's path.
pub fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap().into()
}

/// The files of a folder below `tests` with one of these extensions, in order; more than `more_than` of them.
pub fn documents(folder: &str, extensions: &[&str], more_than: usize) -> Vec<PathBuf> {
    let entries = fs::read_dir(package().join("tests").join(folder)).unwrap();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|e| extensions.iter().any(|wanted| e == *wanted))
        })
        .collect();
    found.sort();
    assert!(found.len() > more_than, "{folder}: {}", found.len());
    found
}

/// The answer to a document under its own name.
pub fn check(path: &Path) -> Verdict {
    validate(path.file_name().unwrap().to_str().unwrap(), &fs::read(path).unwrap())
}

/// Compares with a file, or with `KEELSON_BLESS=1` writes it.
pub fn compare(path: &Path, actual: &str) {
    if std::env::var_os("KEELSON_BLESS").is_some() {
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(actual, expected, "{} differs; KEELSON_BLESS=1 accepts", path.display());
}

/// Each document is refused with the report beside it.
pub fn refused_give_their_report(paths: &[PathBuf]) {
    for path in paths {
        let verdict = check(path);
        assert!(verdict.accepted.is_none(), "{}", path.display());
        compare(&path.with_extension("txt"), &human(&verdict.report, Style::Plain));
    }
}

/// Each document is accepted with the configuration and report beside it.
pub fn accepted_give_their_configuration(paths: &[PathBuf]) {
    for path in paths {
        let verdict = check(path);
        let report = human(&verdict.report, Style::Plain);
        let accepted = verdict.accepted.unwrap_or_else(|| panic!("{report}"));
        let json = serde_json::to_string_pretty(&accepted.config).unwrap();
        compare(&path.with_extension("json"), &format!("{json}\n{report}"));
    }
}
