//! From root to root.

use keelson_tuf::{Error, Problem};

use crate::repository::{LATER, Machine, Repository, TODAY, key, refusal, role_keys, time};

#[test]
fn a_first_run_asks_for_each_file_once_and_stores_it_as_it_came() {
    let repository = Repository::new();
    let machine = Machine::new(&repository);
    // Blanks nobody writes: what is stored is not written anew.
    let spaced = [repository.file("timestamp.json"), b" \n ".to_vec()].concat();
    repository.put("timestamp.json", spaced.clone());
    machine.refresh().unwrap();
    assert_eq!(
        repository.asked(),
        ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
    );
    assert_eq!(machine.stored("timestamp.json").unwrap(), spaced);
    assert_eq!(
        machine.stored("snapshot.json").unwrap(),
        repository.file("1.snapshot.json")
    );
    assert_eq!(
        machine.stored("targets.json").unwrap(),
        repository.file("1.targets.json")
    );
    machine.refresh().unwrap();
    assert_eq!(repository.asked(), ["2.root.json", "timestamp.json"]);
}

/// All keys of root are replaced twice while a machine sleeps.
#[test]
fn two_rotations_are_walked_one_by_one() {
    let mut repository = Repository::new();
    let machine = Machine::new(&repository);
    machine.refresh().unwrap();
    repository.next_root(|root| {
        root.keys
            .extend([11, 12].map(|seed| (key(seed).id(), key(seed).public())));
        root.roles.root = role_keys(2, &[11, 12]);
    });
    repository.put_root(&[1, 2, 11, 12]);
    repository.next_root(|root| {
        root.keys
            .extend([21, 22].map(|seed| (key(seed).id(), key(seed).public())));
        root.roles.root = role_keys(2, &[21, 22]);
    });
    repository.put_root(&[11, 12, 21, 22]);
    assert_eq!(machine.refresh().unwrap().root.version.get(), 3);
    assert_eq!(machine.stored("root.json").unwrap(), repository.file("3.root.json"));
    // The chain is stored: the next run asks for the fourth only.
    repository.asked();
    assert_eq!(machine.refresh().unwrap().root.version.get(), 3);
    assert_eq!(repository.asked(), ["4.root.json", "timestamp.json"]);
}

#[test]
fn a_root_needs_the_signatures_of_the_old_keys_and_of_its_own() {
    for signers in [&[11, 12][..], &[1, 2], &[1, 11], &[1, 2, 11]] {
        let mut repository = Repository::new();
        let machine = Machine::new(&repository);
        repository.next_root(|root| {
            root.keys
                .extend([11, 12].map(|seed| (key(seed).id(), key(seed).public())));
            root.roles.root = role_keys(2, &[11, 12]);
        });
        repository.put_root(signers);
        let (file, problem) = refusal(machine.refresh());
        assert_eq!(file, "2.root.json");
        assert!(matches!(problem, Problem::Signatures(_)), "{signers:?}: {problem}");
        assert_eq!(machine.stored("root.json"), None);
    }
}

#[test]
fn a_root_is_exactly_one_version_on() {
    let mut repository = Repository::new();
    let machine = Machine::new(&repository);
    repository.next_root(|_| {});
    repository.next_root(|_| {});
    repository.put("2.root.json", repository.file("3.root.json"));
    let (file, problem) = refusal(machine.refresh());
    assert_eq!(file, "2.root.json");
    assert!(matches!(problem, Problem::Version { .. }), "{problem}");
}

#[test]
fn roots_on_the_way_may_be_expired_but_not_the_last() {
    let mut repository = Repository::new();
    let machine = Machine::new(&repository);
    repository.next_root(|root| root.expires = time("2020-01-01T00:00:00Z"));
    let (file, problem) = refusal(machine.refresh());
    assert_eq!(file, "2.root.json");
    assert!(matches!(problem, Problem::Expired { .. }), "{problem}");
    assert!(machine.stored("timestamp.json").is_none());
    // It is kept all the same, and the next one makes up for it.
    assert_eq!(machine.stored("root.json").unwrap(), repository.file("2.root.json"));
    repository.next_root(|root| root.expires = time(LATER));
    assert_eq!(machine.refresh().unwrap().root.version.get(), 3);
}

/// Whoever edits the stored root gains nothing: the chain begins in the image.
#[test]
fn a_forged_root_on_disk_is_fetched_anew() {
    let mut repository = Repository::new();
    let machine = Machine::new(&repository);
    repository.next_root(|_| {});
    machine.refresh().unwrap();
    let forged = [31, 32];
    let mut root = repository.root.clone();
    root.keys
        .extend(forged.map(|seed| (key(seed).id(), key(seed).public())));
    root.roles.root = role_keys(2, &forged);
    let file = crate::repository::signed(&root, &forged);
    std::fs::write(machine.folder.path().join("tuf/roots/2.root.json"), &file).unwrap();
    std::fs::write(machine.folder.path().join("tuf/root.json"), &file).unwrap();
    let set = machine.refresh().unwrap();
    assert_eq!(set.root.bytes(), repository.file("2.root.json"));
    assert_eq!(
        machine.stored("roots/2.root.json").unwrap(),
        repository.file("2.root.json")
    );
}

#[test]
fn a_repository_without_consistent_snapshots_is_refused() {
    let mut repository = Repository::new();
    let machine = Machine::new(&repository);
    repository.next_root(|root| root.consistent_snapshot = false);
    assert!(matches!(refusal(machine.refresh()).1, Problem::NotConsistent));
}

#[test]
fn endless_roots_end_and_the_next_run_goes_on() {
    let mut repository = Repository::new();
    let mut machine = Machine::new(&repository);
    machine.limits.new_roots = 2;
    (0..3).for_each(|_| repository.next_root(|_| {}));
    assert!(matches!(machine.refresh_at(TODAY), Err(Error::ManyRoots { limit: 2 })));
    assert_eq!(machine.refresh().unwrap().root.version.get(), 4);
}
