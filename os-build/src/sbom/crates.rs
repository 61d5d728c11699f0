//! The crates linked into the programs of an image, as `cargo metadata` knows them from `Cargo.lock`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A crate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Crate {
    id: String,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Licence expression.
    pub license: Option<String>,
    /// Where it comes from; nothing for ours.
    pub source: Option<String>,
    targets: Vec<Target>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

/// All crates of a workspace and who uses whom at run time.
#[derive(Debug, Clone)]
pub struct Crates {
    all: BTreeMap<String, Crate>,
    uses: BTreeMap<String, Vec<String>>,
}

impl Crates {
    /// Asks cargo about the workspace at `source`.
    ///
    /// # Errors
    /// cargo is not installed, or the workspace is none, or its lock file is out of date.
    pub fn read(source: &Path) -> Result<Crates> {
        let output = Command::new("cargo")
            .args([
                "metadata",
                "--format-version",
                "1",
                "--locked",
                "--filter-platform",
                TARGET,
            ])
            .current_dir(source)
            .output()
            .context("run cargo metadata")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo metadata: {}", said.trim());
        Crates::parse(&output.stdout)
    }

    fn parse(json: &[u8]) -> Result<Crates> {
        let metadata: Metadata = serde_json::from_slice(json).context("understand cargo metadata")?;
        let at_run_time = |dependency: &&Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
        let uses = |node: Node| {
            let pkgs = node
                .deps
                .iter()
                .filter(at_run_time)
                .map(|dependency| dependency.pkg.clone());
            (node.id.clone(), pkgs.collect())
        };
        Ok(Crates {
            all: metadata
                .packages
                .into_iter()
                .map(|found| (found.id.clone(), found))
                .collect(),
            uses: metadata.resolve.nodes.into_iter().map(uses).collect(),
        })
    }

    /// The crate that a program is made of.
    #[must_use]
    pub fn of_program(&self, program: &str) -> Option<&Crate> {
        let makes = |target: &Target| target.name == program && target.kind.iter().any(|kind| kind == "bin");
        self.all.values().find(|found| found.targets.iter().any(makes))
    }

    /// What these crates are linked with, themselves included, by name and version. Macros run in the compiler and
    /// are not in the result.
    #[must_use]
    pub fn linked<'a>(&'a self, from: impl IntoIterator<Item = &'a Crate>) -> Vec<&'a Crate> {
        let mut open: Vec<&Crate> = from.into_iter().collect();
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        while let Some(next) = open.pop() {
            if next.is_macro() || !seen.insert(&next.id) {
                continue;
            }
            found.push(next);
            open.extend(self.used_by(next));
        }
        found.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        found
    }

    /// The crates a crate names as its dependencies.
    pub fn used_by(&self, user: &Crate) -> impl Iterator<Item = &Crate> {
        let ids = self.uses.get(&user.id).into_iter().flatten();
        ids.filter_map(|id| self.all.get(id)).filter(|found| !found.is_macro())
    }
}

impl Crate {
    fn is_macro(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
    }

    /// Package URL; none for crates of this repository, which nobody else hands out.
    #[must_use]
    pub fn purl(&self) -> Option<String> {
        self.source
            .as_ref()
            .map(|_| format!("pkg:cargo/{}@{}", self.name, self.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_found_without_macros_and_build_tools() {
        let package = |name: &str, kind: &str| {
            serde_json::json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT",
                "source": null, "targets": [{"kind": [kind], "name": name}]})
        };
        let depends = |on: &str, kind: Option<&str>| serde_json::json!({"pkg": on, "dep_kinds": [{"kind": kind}]});
        let json = serde_json::json!({
            "packages": [package("program", "bin"), package("library", "lib"), package("derive", "proc-macro"),
                package("tester", "lib"), package("deep", "lib")],
            "resolve": {"nodes": [
                {"id": "program", "deps": [depends("library", None), depends("derive", None), depends("tester", Some("dev"))]},
                {"id": "library", "deps": [depends("deep", None), depends("program", None)]},
                {"id": "deep", "deps": []},
            ]},
        });
        let crates = Crates::parse(json.to_string().as_bytes()).unwrap();
        let program = crates.of_program("program").unwrap();
        let names: Vec<&str> = crates
            .linked([program])
            .iter()
            .map(|found| found.name.as_str())
            .collect();
        assert_eq!(names, ["deep", "library", "program"]);
        assert!(crates.of_program("library").is_none());
    }
}
