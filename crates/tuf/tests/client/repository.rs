//! A repository in memory with a server that counts, and a machine that updates from it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt;
use keelson_tuf::metadata::{
    DelegatedRole, Delegations, MetaFile, PathPattern, Paths, Role, RoleKeys, Root, RootRoles, Snapshot, SpecVersion,
    TargetFile, Targets, Timestamp, Version,
};
use keelson_tuf::{
    Body, Client, Clock, Draft, Error, Fetch, FetchError, FileStore, Limits, Location, Problem, Refused, SigningKey,
    Target, TrustedSet,
};
use serde::Serialize;

/// The day on which the tests run.
pub const TODAY: &str = "2030-01-01T00:00:00Z";
/// When everything expires that no test says otherwise of.
pub const LATER: &str = "2030-02-01T00:00:00Z";

pub fn time(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

pub fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub fn role_keys(threshold: u32, seeds: &[u8]) -> RoleKeys {
    RoleKeys::new(threshold, seeds.iter().map(|seed| key(*seed).id())).unwrap()
}

pub fn targets() -> Targets {
    Targets {
        spec_version: SpecVersion::default(),
        version: Version::MIN,
        expires: time(LATER),
        targets: BTreeMap::new(),
        delegations: None,
    }
}

/// A delegated role that the key `seed` signs for.
pub fn delegated(name: &str, seed: u8, terminating: bool, patterns: &[&str]) -> DelegatedRole {
    let patterns: Vec<PathPattern> = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
    DelegatedRole {
        name: name.to_owned(),
        keys: role_keys(1, &[seed]),
        terminating,
        paths: Paths::Patterns(patterns),
    }
}

/// Adds a delegation.
pub fn delegate(from: &mut Targets, role: DelegatedRole, seed: u8) {
    let empty = || Delegations {
        keys: BTreeMap::new(),
        roles: Vec::new(),
    };
    let delegations = from.delegations.get_or_insert_with(empty);
    delegations.keys.insert(key(seed).id(), key(seed).public());
    delegations.roles.push(role);
}

/// What the server holds, and what it was asked.
#[derive(Debug, Default)]
pub struct Shelf {
    pub files: BTreeMap<String, Vec<u8>>,
    pub asked: Vec<String>,
}

/// A server; clones share one shelf.
#[derive(Debug, Clone, Default)]
pub struct Server(pub Arc<Mutex<Shelf>>);

/// The rest of a file, in small pieces.
pub struct Pieces(Bytes);

impl Fetch for Server {
    type Body = Pieces;

    async fn open(&self, location: &Location) -> Result<Pieces, FetchError> {
        let mut shelf = self.0.lock().unwrap();
        shelf.asked.push(location.to_string());
        let file = shelf.files.get(location.path()).cloned();
        file.map(|file| Pieces(file.into())).ok_or(FetchError::NotFound)
    }
}

impl Body for Pieces {
    async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        let length = self.0.len().min(700);
        Ok((length > 0).then(|| self.0.split_to(length)))
    }
}

/// Root by keys 1 to 3 and targets by keys 4 to 6, two of three each; snapshot and timestamp by key 7.
pub struct Repository {
    pub server: Server,
    pub root: Root,
    pub targets: Targets,
    /// Delegated roles by name, with their signer.
    pub delegated: BTreeMap<String, (Targets, u8)>,
    /// What snapshot and timestamp say beside what is derived.
    pub snapshot: Snapshot,
    pub timestamp_version: u64,
    pub timestamp_expires: jiff::Timestamp,
    pub online: u8,
}

impl Repository {
    /// Version 1 of everything, published.
    pub fn new() -> Repository {
        let keys = (1..=7).map(|seed| (key(seed).id(), key(seed).public())).collect();
        let root = Root {
            spec_version: SpecVersion::default(),
            version: Version::MIN,
            expires: time(LATER),
            consistent_snapshot: true,
            keys,
            roles: RootRoles {
                root: role_keys(2, &[1, 2, 3]),
                timestamp: role_keys(1, &[7]),
                snapshot: role_keys(1, &[7]),
                targets: role_keys(2, &[4, 5, 6]),
            },
        };
        let snapshot = Snapshot {
            spec_version: SpecVersion::default(),
            version: Version::MIN,
            expires: time(LATER),
            meta: BTreeMap::new(),
        };
        let mut repository = Repository {
            server: Server::default(),
            root,
            targets: targets(),
            delegated: BTreeMap::new(),
            snapshot,
            timestamp_version: 1,
            timestamp_expires: time(LATER),
            online: 7,
        };
        repository.put_root(&[1, 2]);
        repository.put_all();
        repository
    }

    pub fn put(&self, name: &str, file: Vec<u8>) {
        self.server.0.lock().unwrap().files.insert(name.to_owned(), file);
    }

    pub fn remove(&self, name: &str) {
        self.server.0.lock().unwrap().files.remove(name);
    }

    pub fn file(&self, name: &str) -> Vec<u8> {
        self.server.0.lock().unwrap().files[name].clone()
    }

    /// What was asked since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.server.0.lock().unwrap().asked)
    }

    pub fn put_root(&self, signers: &[u8]) {
        self.put(&format!("{}.root.json", self.root.version), signed(&self.root, signers));
    }

    /// The next root, changed, signed by keys 1 and 2.
    pub fn next_root(&mut self, change: impl FnOnce(&mut Root)) {
        self.root.version = version(self.root.version.get() + 1);
        change(&mut self.root);
        self.put_root(&[1, 2]);
    }

    /// All other files as they are now, under their versions.
    pub fn put_all(&mut self) {
        self.put_targets();
        self.put_snapshot();
        self.put_timestamp();
    }

    /// All other files, each one version on.
    pub fn publish(&mut self) {
        self.targets.version = version(self.targets.version.get() + 1);
        self.snapshot.version = version(self.snapshot.version.get() + 1);
        self.timestamp_version += 1;
        self.put_all();
    }

    pub fn put_targets(&mut self) {
        let file = signed(&self.targets, &[4, 6]);
        self.list("targets", self.targets.version, file);
        for (name, (targets, signer)) in self.delegated.clone() {
            self.list(&name, targets.version, signed(&targets, &[signer]));
        }
    }

    fn list(&mut self, role: &str, version: Version, file: Vec<u8>) {
        self.snapshot
            .meta
            .insert(format!("{role}.json"), MetaFile::describe(version, &file));
        self.put(Location::metadata(role, Some(version)).path(), file);
    }

    pub fn put_snapshot(&self) {
        let file = signed(&self.snapshot, &[self.online]);
        self.put(&format!("{}.snapshot.json", self.snapshot.version), file);
    }

    pub fn put_timestamp(&self) {
        let name = format!("{}.snapshot.json", self.snapshot.version);
        let listed = MetaFile::describe(self.snapshot.version, &self.file(&name));
        let timestamp = Timestamp::new(version(self.timestamp_version), self.timestamp_expires, listed);
        self.put("timestamp.json", signed(&timestamp, &[self.online]));
    }

    /// Lists a target in top-level targets and serves it.
    pub fn add_target(&mut self, name: &str, data: &[u8]) {
        let file = TargetFile::describe(data);
        self.put(Location::target(name, &file).unwrap().path(), data.to_vec());
        self.targets.targets.insert(name.to_owned(), file);
    }
}

pub fn signed<R: Role + Serialize>(content: &R, signers: &[u8]) -> Vec<u8> {
    let mut draft = Draft::new(content).unwrap();
    signers.iter().for_each(|seed| draft.sign(&key(*seed)));
    draft.to_bytes()
}

/// A machine: a store on disk, and the root its image came with.
pub struct Machine {
    pub folder: tempfile::TempDir,
    root: Vec<u8>,
    server: Server,
    pub limits: Limits,
}

impl Machine {
    /// One whose image came with the repository's first root.
    pub fn new(repository: &Repository) -> Machine {
        Machine {
            folder: tempfile::tempdir().unwrap(),
            root: repository.file("1.root.json"),
            server: repository.server.clone(),
            limits: Limits::default(),
        }
    }

    pub fn store(&self) -> FileStore {
        let folder = self.folder.path();
        FileStore::open(&folder.join("tuf"), &folder.join("latest-time")).unwrap()
    }

    /// A client as after a restart.
    pub fn client(&self) -> Client<Server, FileStore> {
        Client::new(self.server.clone(), self.store(), &self.root, self.limits).unwrap()
    }

    pub fn refresh_at(&self, now: &str) -> Result<TrustedSet, Error> {
        run(self.client().refresh(Clock::Trusted(time(now))))
    }

    pub fn refresh(&self) -> Result<TrustedSet, Error> {
        self.refresh_at(TODAY)
    }

    /// Brings metadata up to date and looks for a target.
    pub fn find(&self, name: &str) -> Result<Option<Target>, Error> {
        let mut client = self.client();
        let set = run(client.refresh(Clock::Trusted(time(TODAY))))?;
        run(client.find(&set, name))
    }

    /// The stored file of a role.
    pub fn stored(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.folder.path().join("tuf").join(name)).ok()
    }
}

/// Memory and disk never make a future wait.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a future that waits for nothing")
}

/// File and problem of a refusal.
pub fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (String, Problem) {
    match result {
        Err(Error::Refused(Refused { file, problem })) => (file, problem),
        other => panic!("not refused: {other:?}"),
    }
}
