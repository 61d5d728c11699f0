//! Old files, files that do not belong together, files that never end.

use keelson_tuf::metadata::MetaFile;
use keelson_tuf::{Error, FetchError, Problem};

use crate::repository::{Machine, Repository, key, refusal, role_keys, signed, time, version};

fn updated() -> (Repository, Machine) {
    let mut repository = Repository::new();
    let machine = Machine::new(&repository);
    repository.publish();
    machine.refresh().unwrap();
    (repository, machine)
}

#[test]
fn an_older_timestamp_is_refused() {
    let (mut repository, machine) = updated();
    let before = machine.stored("timestamp.json");
    repository.timestamp_version = 1;
    repository.put_timestamp();
    let (file, problem) = refusal(machine.refresh());
    assert_eq!(file, "timestamp.json");
    let text = "it offers version 1 of timestamp.json, but version 2 was seen before; an old copy is being served";
    assert_eq!(problem.to_string(), text);
    assert_eq!(machine.stored("timestamp.json"), before);
}

#[test]
fn another_timestamp_of_the_same_version_is_not_looked_at() {
    let (mut repository, machine) = updated();
    let before = machine.stored("timestamp.json");
    repository.snapshot.version = version(100);
    repository.put_snapshot();
    repository.put_timestamp();
    repository.asked();
    machine.refresh().unwrap();
    assert_eq!(repository.asked(), ["2.root.json", "timestamp.json"]);
    assert_eq!(machine.stored("timestamp.json"), before);
}

#[test]
fn a_newer_timestamp_may_not_name_an_older_snapshot() {
    let (mut repository, machine) = updated();
    repository.timestamp_version = 3;
    repository.snapshot.version = version(1);
    repository.put_timestamp();
    let (file, problem) = refusal(machine.refresh());
    assert_eq!(file, "timestamp.json");
    assert!(matches!(problem, Problem::Rollback { what, .. } if what == "snapshot.json"));
}

#[test]
fn a_snapshot_may_not_name_older_targets() {
    let (mut repository, machine) = updated();
    repository.targets.version = version(1);
    repository.put_targets();
    repository.snapshot.version = version(3);
    repository.timestamp_version = 3;
    repository.put_snapshot();
    repository.put_timestamp();
    let (file, problem) = refusal(machine.refresh());
    assert_eq!(file, "3.snapshot.json");
    assert!(matches!(problem, Problem::Rollback { what, .. } if what == "targets.json"));
    assert_eq!(
        machine.stored("snapshot.json").unwrap(),
        repository.file("2.snapshot.json")
    );
}

#[test]
fn another_snapshot_of_the_listed_version_is_refused() {
    let (mut repository, machine) = updated();
    repository.publish();
    repository.snapshot.expires = time("2030-03-01T00:00:00Z");
    repository.put_snapshot();
    let (file, problem) = refusal(machine.refresh());
    assert_eq!(file, "3.snapshot.json");
    assert!(matches!(problem, Problem::Bytes(_)), "{problem}");
}

/// Also one that no role names any more: it could come back in an old version.
#[test]
fn a_snapshot_may_not_drop_a_file() {
    let mut repository = Repository::new();
    let machine = Machine::new(&repository);
    repository
        .snapshot
        .meta
        .insert("gone.json".to_owned(), MetaFile::describe(version(5), b""));
    repository.publish();
    machine.refresh().unwrap();
    repository.snapshot.meta.remove("gone.json");
    repository.publish();
    let (file, problem) = refusal(machine.refresh());
    assert_eq!(file, "3.snapshot.json");
    assert!(matches!(problem, Problem::Vanished { what, .. } if what == "gone.json"));
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (mut repository, machine) = updated();
    repository.publish();
    repository.put("3.targets.json", repository.file("2.targets.json"));
    let (file, problem) = refusal(machine.refresh());
    assert_eq!(file, "3.targets.json");
    assert!(matches!(problem, Problem::Bytes(_)), "{problem}");
    // Without hashes in the snapshot it is the version that gives it away.
    repository.snapshot.meta.get_mut("targets.json").unwrap().hashes = None;
    repository.snapshot.version = version(4);
    repository.timestamp_version = 4;
    repository.put_snapshot();
    repository.put_timestamp();
    let (_, problem) = refusal(machine.refresh());
    assert!(matches!(problem, Problem::Version { .. }), "{problem}");
}

#[test]
fn each_role_signs_for_itself_only() {
    for (name, signers) in [
        ("timestamp.json", &[4, 5, 6][..]),
        ("2.snapshot.json", &[1, 2, 3]),
        ("2.targets.json", &[7, 4]),
    ] {
        let mut repository = Repository::new();
        let machine = Machine::new(&repository);
        repository.publish();
        let file: serde_json::Value = serde_json::from_slice(&repository.file(name)).unwrap();
        let forged = match name {
            "timestamp.json" => signed(
                &serde_json::from_value::<keelson_tuf::metadata::Timestamp>(file["signed"].clone()).unwrap(),
                signers,
            ),
            "2.snapshot.json" => signed(&repository.snapshot, signers),
            _ => signed(&repository.targets, signers),
        };
        // Whoever forges a file can have it listed only with the online key.
        if name == "2.targets.json" {
            repository
                .snapshot
                .meta
                .insert("targets.json".to_owned(), MetaFile::describe(version(2), &forged));
            repository.put_snapshot();
        }
        repository.put(name, forged);
        if name != "timestamp.json" {
            repository.put_timestamp();
        }
        let (file, problem) = refusal(machine.refresh());
        assert_eq!(file, name);
        assert!(matches!(problem, Problem::Signatures(_)), "{problem}");
    }
}

/// Whoever had the online key raised the versions beyond what the repository will reach; a new root with another
/// online key makes up for it.
#[test]
fn a_new_online_key_recovers_from_versions_far_ahead() {
    let mut repository = Repository::new();
    let machine = Machine::new(&repository);
    let honest = (repository.timestamp_version, repository.snapshot.clone());
    repository.timestamp_version = u64::MAX;
    repository.snapshot.version = version(u64::MAX);
    repository
        .snapshot
        .meta
        .insert("made-up.json".to_owned(), MetaFile::describe(version(1), b""));
    repository.put_snapshot();
    repository.put_timestamp();
    machine.refresh().unwrap();
    (repository.timestamp_version, repository.snapshot) = honest;
    repository.publish();
    assert!(matches!(refusal(machine.refresh()).1, Problem::Rollback { .. }));
    // The old key stays beside the new one, so that only forgetting helps.
    repository.next_root(|root| {
        root.keys.insert(key(8).id(), key(8).public());
        root.roles.timestamp = role_keys(1, &[7, 8]);
    });
    assert_eq!(machine.refresh().unwrap().timestamp.version.get(), 2);
}

#[test]
fn a_missing_file_stops_the_run_and_keeps_what_was_accepted() {
    let (mut repository, machine) = updated();
    repository.publish();
    repository.remove("3.snapshot.json");
    let error = machine.refresh().unwrap_err();
    assert!(matches!(
        &error,
        Error::Fetch {
            source: FetchError::NotFound,
            ..
        }
    ));
    assert_eq!(
        error.to_string(),
        "3.snapshot.json could not be fetched: the repository does not have it"
    );
    assert_eq!(
        machine.stored("timestamp.json").unwrap(),
        repository.file("timestamp.json")
    );
    repository.put_snapshot();
    machine.refresh().unwrap();
}

#[test]
fn no_more_is_read_than_a_file_may_have() {
    for (name, limit) in [("2.root.json", 128 << 10), ("timestamp.json", 16 << 10)] {
        let repository = Repository::new();
        let machine = Machine::new(&repository);
        repository.put(name, vec![b' '; 10 << 20]);
        let (file, problem) = refusal(machine.refresh());
        assert_eq!(file, name);
        assert!(matches!(problem, Problem::TooLong { limit: found } if found == limit));
    }
    // What is listed with a length ends there.
    let repository = Repository::new();
    let machine = Machine::new(&repository);
    let length = repository.file("1.targets.json").len() as u64;
    repository.put("1.targets.json", vec![b' '; 10 << 20]);
    assert!(matches!(refusal(machine.refresh()).1, Problem::TooLong { limit } if limit == length));
}

#[test]
fn a_listing_beyond_the_limit_is_refused_unasked() {
    let mut repository = Repository::new();
    let machine = Machine::new(&repository);
    repository.snapshot.meta.get_mut("targets.json").unwrap().length = Some(1 << 40);
    repository.snapshot.version = version(2);
    repository.timestamp_version = 2;
    repository.put_snapshot();
    repository.put_timestamp();
    assert!(matches!(refusal(machine.refresh()).1, Problem::TooLong { .. }));
    assert_eq!(repository.asked().last().unwrap(), "2.snapshot.json");
}
