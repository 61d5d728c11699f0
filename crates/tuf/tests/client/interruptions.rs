//! Runs that end in the middle: every write of the store can be the last one before a power cut, and every file of it
//! can be lost.

use std::io;

use keelson_tuf::metadata::Version;
use keelson_tuf::{Client, Clock, Error, FileStore, Store, StoreError};

use crate::repository::{Machine, Repository, TODAY, key, role_keys, run, time};

/// A store that fails from its `left`th write on.
struct Dying {
    store: FileStore,
    left: usize,
}

impl Dying {
    fn write(&mut self) -> Result<&mut FileStore, StoreError> {
        let (path, source) = ("gone".into(), io::ErrorKind::StorageFull.into());
        self.left = self.left.checked_sub(1).ok_or(StoreError { path, source })?;
        Ok(&mut self.store)
    }
}

impl Store for Dying {
    fn load(&self, role: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.load(role)
    }

    fn save(&mut self, role: &str, file: &[u8]) -> Result<(), StoreError> {
        self.write()?.save(role, file)
    }

    fn remove(&mut self, role: &str) -> Result<(), StoreError> {
        self.write()?.remove(role)
    }

    fn load_root(&self, version: Version) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.load_root(version)
    }

    fn save_root(&mut self, version: Version, file: &[u8]) -> Result<(), StoreError> {
        self.write()?.save_root(version, file)
    }

    fn latest_time(&self) -> Option<jiff::Timestamp> {
        self.store.latest_time()
    }

    fn save_latest_time(&mut self, time: jiff::Timestamp) -> Result<(), StoreError> {
        self.write()?.save_latest_time(time)
    }
}

/// A machine that saw versions far ahead, signed with a stolen online key, and a repository that has moved on in every
/// role. The old key still counts beside a new one, so that only forgetting what it signed helps.
fn stolen() -> (Repository, Machine) {
    let mut repository = Repository::new();
    let machine = Machine::new(&repository);
    let honest = repository.snapshot.clone();
    repository.timestamp_version = 1000;
    repository.snapshot.version = Version::new(1000).unwrap();
    repository.put_all();
    machine.refresh().unwrap();
    repository.snapshot = honest;
    repository.timestamp_version = 1;
    repository.online = 8;
    repository.next_root(|root| {
        root.keys.insert(key(8).id(), key(8).public());
        root.roles.timestamp = role_keys(1, &[7, 8]);
        root.roles.snapshot = role_keys(1, &[7, 8]);
    });
    repository.publish();
    (repository, machine)
}

#[test]
fn after_a_cut_at_any_write_the_next_run_gets_there() {
    let mut cuts = 0;
    loop {
        let (repository, machine) = stolen();
        let store = Dying {
            store: machine.store(),
            left: cuts,
        };
        let root = repository.file("1.root.json");
        let mut client = Client::new(repository.server.clone(), store, &root, machine.limits).unwrap();
        let result = run(client.refresh(Clock::Trusted(time(TODAY))));
        let set = machine.refresh().unwrap();
        assert_eq!(
            (set.root.version.get(), set.targets.version.get()),
            (2, 2),
            "cut after {cuts} writes"
        );
        match result {
            Ok(_) => break,
            Err(Error::Store(error)) => assert!(error.to_string().contains("gone"), "{error}"),
            Err(other) => panic!("{other}"),
        }
        cuts += 1;
    }
    // Two removals, root twice, timestamp, snapshot, targets; the latest time was no later.
    assert_eq!(cuts, 7);
}

#[test]
fn any_stored_file_may_be_lost_or_damaged() {
    for name in [
        "root.json",
        "timestamp.json",
        "snapshot.json",
        "targets.json",
        "roots/2.root.json",
        "../latest-time",
    ] {
        for damage in [None, Some(&b""[..]), Some(b"{}"), Some(b"\xff\xff")] {
            let (_repository, machine) = stolen();
            machine.refresh().unwrap();
            let path = machine.folder.path().join("tuf").join(name);
            match damage {
                None => std::fs::remove_file(&path).unwrap(),
                Some(damage) => std::fs::write(&path, damage).unwrap(),
            }
            let set = machine.refresh().unwrap();
            assert_eq!((set.root.version.get(), set.targets.version.get()), (2, 2), "{name}");
        }
    }
}
