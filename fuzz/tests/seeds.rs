//! Every target over its seeds, over nothing, and over seeded mutations.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use keelson_fuzz::{Random, TARGETS, mutate};

const MUTATIONS: usize = 3000;

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .join("seeds")
        .join(name);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn no_target_panics_over_its_seeds_and_their_mutations() {
    for target in TARGETS {
        let seeds = seeds(target.name);
        assert!(!seeds.is_empty(), "{} has no seed", target.name);
        (target.run)(&[]);
        let mut random = Random::new(target.name.len() as u64);
        for seed in &seeds {
            (target.run)(seed);
            for _ in 0..MUTATIONS / seeds.len() {
                (target.run)(&mutate(seed, &mut random));
            }
        }
    }
}

#[test]
fn names_are_unique_and_every_folder_of_seeds_has_its_target() {
    let mut names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for entry in fs::read_dir(Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("seeds")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name.as_str()), "seeds/{name} has no target");
    }
}
