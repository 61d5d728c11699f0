//! What each unit of the tree may do, by its file. Source of truth for reviewers: a change here is a change of what the
//! system trusts. Why some keep root: `docs/decisions/0008-who-keeps-root.md`.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keelson_init::unit::{self, Seccomp, Unit};

/// Unit, user, capabilities (`None`: all of root's), filter, whether it may gain privileges, whether memory is bounded.
type Row = (
    &'static str,
    &'static str,
    Option<&'static [&'static str]>,
    Seccomp,
    bool,
    bool,
);

const TABLE: &[Row] = &[
    (
        "access",
        "access",
        Some(&["CAP_NET_BIND_SERVICE"]),
        Seccomp::Service,
        false,
        true,
    ),
    ("bus", "bus", Some(&[]), Seccomp::Service, false, true),
    ("config", "root", Some(&["CAP_CHOWN"]), Seccomp::Service, false, true),
    (
        "config-metadata",
        "root",
        Some(&["CAP_CHOWN"]),
        Seccomp::Service,
        false,
        true,
    ),
    (
        "devices",
        "root",
        Some(&["CAP_SYS_MODULE", "CAP_DAC_READ_SEARCH"]),
        Seccomp::Modules,
        false,
        true,
    ),
    (
        "install",
        "root",
        Some(&["CAP_SYS_ADMIN"]),
        Seccomp::Service,
        false,
        true,
    ),
    (
        "install-console",
        "root",
        Some(&["CAP_SYS_ADMIN"]),
        Seccomp::Service,
        false,
        true,
    ),
    (
        "journald",
        "journal",
        Some(&["CAP_SYSLOG"]),
        Seccomp::Service,
        false,
        true,
    ),
    (
        "mark-good",
        "root",
        Some(&["CAP_SYS_ADMIN"]),
        Seccomp::Mounts,
        false,
        true,
    ),
    ("measure-ready", "root", Some(&[]), Seccomp::Service, false, true),
    ("metadata", "metadata", Some(&[]), Seccomp::Service, false, true),
    (
        "netd",
        "net",
        Some(&["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_NET_BIND_SERVICE", "CAP_SYS_TIME"]),
        Seccomp::Network,
        false,
        true,
    ),
    ("power", "root", Some(&[]), Seccomp::Service, false, true),
    (
        "rollback",
        "root",
        Some(&["CAP_SYS_ADMIN"]),
        Seccomp::Mounts,
        false,
        true,
    ),
    ("runtimed", "root", None, Seccomp::None, true, false),
    ("update", "root", Some(&["CAP_SYS_ADMIN"]), Seccomp::Mounts, false, true),
];

/// Every unit file of the tree: `units/NAME.toml` and `medium-units/NAME.toml` at most three folders deep.
fn unit_files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && depth < 3 && !name.starts_with('.') && name != "target" {
                folders.push((path, depth + 1));
            } else if folder.to_string_lossy().ends_with("units") && name.ends_with(".toml") {
                files.push(path);
            }
        }
    }
    files
}

fn units() -> BTreeMap<String, Unit> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let root = Path::new(&package).parent().unwrap().to_owned();
    let parse = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let unit = unit::parse(&name, &text).unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
        (name, unit)
    };
    unit_files(&root).into_iter().map(parse).collect()
}

#[test]
fn every_unit_may_do_what_the_table_says_and_no_more() {
    let mut table: BTreeMap<&str, &Row> = TABLE.iter().map(|row| (row.0, row)).collect();
    for (name, unit) in units() {
        let Some(service) = &unit.service else { continue };
        let row = table.remove(name.as_str());
        let &(_, user, capabilities, seccomp, may_gain, bounded) =
            row.unwrap_or_else(|| panic!("{name} is not in the table"));
        let expected = capabilities.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(service.user, user, "{name}");
        assert_eq!(service.capabilities, expected, "{name}");
        assert_eq!(service.seccomp, seccomp, "{name}");
        assert_eq!(!service.no_new_privs, may_gain, "{name}");
        assert_eq!(unit.resources.memory_max.is_some(), bounded, "{name}");
        assert!(
            unit.resources.oom_score_adj.is_some(),
            "{name} has no place among victims"
        );
    }
    assert!(
        table.is_empty(),
        "in the table, but not in the tree: {:?}",
        table.keys()
    );
}
