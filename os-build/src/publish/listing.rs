//! Which files of which releases the signed list of targets has. Every machine reads the list, so it is kept short. Pure.

use std::collections::{BTreeMap, BTreeSet};

use keelson_payload::Version;
use keelson_tuf::metadata::TargetFile;

/// The first file of a release.
pub const MANIFEST: &str = "manifest.json";

/// Newest releases of a flavour that stay in the list whether a channel offers them or not.
const NEWEST: usize = 3;

/// Name of a target.
#[must_use]
pub fn target(flavour: &str, version: &Version, file: &str) -> String {
    format!("releases/{flavour}/{version}/{file}")
}

/// Flavour, version and file of a target.
fn parts(name: &str) -> Option<(&str, Version, &str)> {
    let mut words = name.strip_prefix("releases/")?.splitn(3, '/');
    Some((words.next()?, words.next()?.parse().ok()?, words.next()?))
}

/// Versions of a flavour in the list, oldest first.
#[must_use]
pub fn versions(targets: &BTreeMap<String, TargetFile>, flavour: &str) -> Vec<Version> {
    let found: BTreeSet<Version> = targets
        .keys()
        .filter_map(|name| parts(name))
        .filter(|(of, _, _)| *of == flavour)
        .map(|(_, version, _)| version)
        .collect();
    found.into_iter().collect()
}

/// Takes out of the list what no machine will ask for: of each flavour all but the newest releases and those `offered`,
/// and the patches of releases that are neither the newest nor offered.
pub fn shorten(targets: &mut BTreeMap<String, TargetFile>, offered: &BTreeSet<(String, Version)>) {
    let flavours: BTreeSet<String> = targets
        .keys()
        .filter_map(|name| parts(name).map(|(flavour, _, _)| flavour.to_owned()))
        .collect();
    for flavour in flavours {
        let rank: BTreeMap<Version, usize> = versions(targets, &flavour).into_iter().rev().zip(0..).collect();
        targets.retain(|name, _| match parts(name) {
            Some((of, version, file)) if of == flavour => {
                let rank = rank.get(&version).copied().unwrap_or(usize::MAX);
                let is_offered = rank == 0 || offered.contains(&(flavour.clone(), version));
                is_offered || (rank < NEWEST && !file.ends_with(".patch"))
            }
            _ => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_and_the_offered_stay() {
        let mut targets = BTreeMap::new();
        for version in ["0.9.0", "0.10.0", "0.11.0", "0.12.0", "0.13.0"] {
            for file in [MANIFEST, "root.frames", "from-0.1.0.patch"] {
                let name = target("cloud", &version.parse().unwrap(), file);
                targets.insert(name, TargetFile::describe(b""));
            }
        }
        targets.insert(
            target("metal", &"0.1.0".parse().unwrap(), MANIFEST),
            TargetFile::describe(b""),
        );
        assert_eq!(versions(&targets, "cloud").first().unwrap().as_str(), "0.9.0");
        let offered = BTreeSet::from([("cloud".to_owned(), "0.10.0".parse().unwrap())]);
        shorten(&mut targets, &offered);
        let mut expected: Vec<String> = ["0.10.0", "0.11.0", "0.12.0", "0.13.0"]
            .iter()
            .flat_map(|version| [MANIFEST, "root.frames"].map(|file| format!("releases/cloud/{version}/{file}")))
            .chain(["0.10.0", "0.13.0"].map(|version| format!("releases/cloud/{version}/from-0.1.0.patch")))
            .chain(["releases/metal/0.1.0/manifest.json".to_owned()])
            .collect();
        expected.sort();
        assert_eq!(targets.keys().cloned().collect::<Vec<_>>(), expected);
    }
}
