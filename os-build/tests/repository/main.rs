//! Repositories of releases as they are built, signed and changed, judged by another client.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod own_client;
mod python_tuf;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use keelson_image_layout::RootHash;
use keelson_image_layout::verity::VerityParams;
use keelson_os_build::flavour::Flavour;
use keelson_os_build::progress::Progress;
use keelson_os_build::publish::keys::{Duty, KeyFolder};
use keelson_os_build::publish::offer::{self, Change};
use keelson_os_build::publish::repository::Repository;
use keelson_os_build::publish::{Content, ceremony, release};
use keelson_os_build::release::Naming;
use keelson_os_build::serve::Server;
use keelson_payload::{Digest, Index, Manifest, PartName, Rollout};
use own_client::Machine;
use python_tuf::PythonTuf;

/// A release that differs from the others in a few bytes.
fn content(version: &str) -> Content {
    let mut root: Vec<u8> = (0..40 * 4096_u32)
        .flat_map(|word| (word.wrapping_mul(0x9e37_79b9)).to_le_bytes())
        .collect();
    let mut boot = root.iter().take(30_000).copied().collect::<Vec<_>>();
    for (at, byte) in version.bytes().enumerate() {
        root[at * 5000] ^= byte;
        boot[at * 3000] ^= byte;
    }
    Content {
        naming: Naming::new(version, 1_700_000_000, Flavour::Cloud).unwrap(),
        verity: VerityParams {
            root_hash: RootHash(Digest::of(&root).0),
            salt: RootHash([1; 32]),
            data_blocks: root.len() as u64 / 4096,
        },
        root,
        boot,
        loader: b"loader".to_vec(),
    }
}

/// A publisher's place: folders of keys and of the repository.
struct Publisher {
    folder: tempfile::TempDir,
    now: Timestamp,
}

impl Publisher {
    fn new() -> Publisher {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("keys")).unwrap();
        let publisher = Publisher {
            folder,
            now: Timestamp::now(),
        };
        publisher.keys().create().unwrap();
        publisher
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn keys(&self) -> KeyFolder {
        KeyFolder::at(&self.path("keys"))
    }

    fn repository(&self) -> Repository {
        Repository::at(&self.path("repository"))
    }

    fn release(&self, version: &str) -> String {
        let request = release::Request {
            repository: self.path("repository"),
            channel: "stable".into(),
            keys: self.path("keys"),
            keep: 2,
            floor: None,
            now: self.now,
        };
        release::add(&request, &content(version), Progress::silent()).unwrap()
    }

    fn publish(&self, changes: &[Change]) -> Result<(), String> {
        let changes: Vec<_> = changes
            .iter()
            .map(|change| ("stable".to_owned(), change.clone()))
            .collect();
        offer::publish(&self.repository(), &self.keys(), &changes, self.now).map_err(|error| format!("{error:#}"))
    }

    /// Puts the secret half of a key elsewhere.
    fn carry_away(&self, name: &str, to: &str) {
        let to = self.path(to);
        std::fs::create_dir_all(&to).unwrap();
        std::fs::rename(
            self.path("keys").join(format!("{name}.key")),
            to.join(format!("{name}.key")),
        )
        .unwrap();
        std::fs::copy(
            self.path("keys").join(format!("{name}.pub")),
            to.join(format!("{name}.pub")),
        )
        .unwrap();
    }

    fn serve(&self) -> Server {
        Server::start(&self.path("repository"), (Ipv4Addr::LOCALHOST, 0).into(), Vec::new()).unwrap()
    }

    /// A client that trusts the first root.
    fn client(&self) -> Option<PythonTuf> {
        PythonTuf::new(&self.path("repository/metadata/1.root.json"))
    }
}

const ROLLOUT: &str = "rollout/stable.json";

fn offered(client: &PythonTuf, server: &Server) -> Rollout {
    let files = client.download(&server.url(), &[ROLLOUT]).unwrap();
    Rollout::parse(&files[0], "stable").unwrap()
}

#[test]
fn another_client_takes_what_was_released_and_refuses_what_was_changed() {
    let publisher = Publisher::new();
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.4.0"] {
        assert_eq!(
            publisher.release(version),
            format!("channel stable offers cloud {version}\n")
        );
    }
    let (server, Some(client)) = (publisher.serve(), publisher.client()) else {
        return;
    };
    assert_eq!(offered(&client, &server).releases["cloud"].as_str(), "0.4.0");

    let names = ["manifest.json", "root.frames", "from-0.3.0.patch", "from-0.2.0.patch"];
    let names = names.map(|name| format!("releases/cloud/0.4.0/{name}"));
    let files = client
        .download(&server.url(), &names.each_ref().map(String::as_str))
        .unwrap();
    let manifest = Manifest::parse(&files[0]).unwrap();
    let new = content("0.4.0");
    let full = &manifest.parts.root.full;
    assert_eq!(files[1].len() as u64, full.length);
    Index::of_full(&files[1][..full.index_length as usize], &manifest, PartName::Root).unwrap();
    for (patch, file) in manifest.patches.iter().zip([&files[3], &files[2]]) {
        let old = content(patch.from.version.as_str());
        let index = Index::of_patch(&file[..patch.file.index_length as usize], &manifest, patch).unwrap();
        let segment = &index.segments()[0];
        let (window, stored) = (segment.window, segment.stored());
        let window = old.root[window.start as usize..][..window.length as usize].to_vec();
        let made = segment
            .apply(window, &file[stored.start as usize..stored.end as usize])
            .unwrap();
        assert!(made == new.root);
        assert!(file.len() < 2000, "{} bytes for a few", file.len());
    }
    // Kept for patches, but no longer in the list.
    let old = client.download(&server.url(), &["releases/cloud/0.1.0/manifest.json"]);
    assert_eq!(old.unwrap_err(), "no target releases/cloud/0.1.0/manifest.json");

    let Some(fresh) = publisher.client() else { return };
    // A client keeps what was right, so each fault is behind the one before it.
    for fault in [
        "cut=40@timestamp",
        "404@timestamp",
        "wrong@timestamp.json",
        "wrong@snapshot.json",
        "wrong@targets.json",
        "wrong@manifest.json",
    ] {
        server.set_faults(vec![fault.parse().unwrap()]);
        assert!(fresh.download(&server.url(), &[&names[0]]).is_err(), "{fault}");
    }
    server.set_faults(Vec::new());
    fresh.download(&server.url(), &[&names[0]]).unwrap();
}

#[test]
fn a_release_waits_for_the_signers_and_is_then_offered() {
    let publisher = Publisher::new();
    for name in ["root-2", "root-3", "targets-2", "targets-3"] {
        publisher.carry_away(name, "elsewhere");
    }
    let said = ceremony::begin(&publisher.repository(), &publisher.keys(), publisher.now).unwrap();
    assert!(
        said.contains("1.root.json waits for signatures, so far of root-1"),
        "{said}"
    );
    let said = publisher.release("0.1.0");
    assert!(
        said.contains("1.root.json waits for signatures, so far of root-1"),
        "{said}"
    );
    let refused = publisher.publish(&[Change::Halt]).unwrap_err();
    assert!(refused.contains("1.root.json waits"), "{refused}");
    assert!(!publisher.path("repository/metadata").exists());

    let elsewhere = KeyFolder::at(&publisher.path("elsewhere"));
    for name in ["1.root.json", "1.targets.json"] {
        let said = ceremony::sign(&publisher.path("repository/staged").join(name), &elsewhere).unwrap();
        assert!(said.contains("signed by"), "{said}");
    }
    let offer = Change::Offer("cloud".into(), "0.1.0".parse().unwrap());
    publisher.publish(&[offer]).unwrap();
    let missing = Change::Offer("cloud".into(), "0.2.0".parse().unwrap());
    assert!(
        publisher
            .publish(&[missing])
            .unwrap_err()
            .contains("cannot offer cloud 0.2.0")
    );
    let (server, Some(client)) = (publisher.serve(), publisher.client()) else {
        return;
    };
    assert_eq!(offered(&client, &server).releases["cloud"].as_str(), "0.1.0");
}

#[test]
fn a_halt_reaches_clients_with_the_online_key_alone() {
    let publisher = Publisher::new();
    publisher.release("0.1.0");
    for name in ["root-1", "root-2", "root-3", "targets-1", "targets-2", "targets-3"] {
        publisher.carry_away(name, "safe");
    }
    let (server, Some(client)) = (publisher.serve(), publisher.client()) else {
        return;
    };
    for (change, halt) in [(Change::Halt, true), (Change::Resume, false)] {
        publisher.publish(&[change]).unwrap();
        assert_eq!(offered(&client, &server).halt, halt);
    }
    publisher.publish(&[]).unwrap();
    assert!(!offered(&client, &server).halt);
}

/// What a machine does with the repository from the day it was made, without another client.
#[test]
fn a_machine_follows_until_nobody_signs_any_more() {
    let mut publisher = Publisher::new();
    publisher.release("0.1.0");
    let first = std::fs::read(publisher.path("repository/metadata/1.root.json")).unwrap();
    let machine = Machine::new(&first);
    let read = |name: &str, now| machine.read(&publisher.path("repository"), name, now);
    let manifest = "releases/cloud/0.1.0/manifest.json";
    assert_eq!(
        Manifest::parse(&read(manifest, publisher.now).unwrap())
            .unwrap()
            .version
            .as_str(),
        "0.1.0"
    );
    let later = publisher.now + SignedDuration::from_hours(25);
    let late = read(ROLLOUT, later).unwrap_err();
    assert!(late.contains("expired"), "{late}");

    publisher.now = later;
    publisher.publish(&[Change::Halt]).unwrap();
    let read = |name: &str| machine.read(&publisher.path("repository"), name, publisher.now);
    assert!(Rollout::parse(&read(ROLLOUT).unwrap(), "stable").unwrap().halt);
    let (repository, keys) = (publisher.repository(), publisher.keys());
    for (duty, old) in [
        (Duty::Online, "online-1"),
        (Duty::Targets, "targets-1"),
        (Duty::Root, "root-1"),
    ] {
        ceremony::add(&repository, &keys, duty, None, publisher.now).unwrap();
        publisher.publish(&[]).unwrap();
        ceremony::retire(&repository, &keys, old, publisher.now).unwrap();
        publisher.publish(&[]).unwrap();
        read(manifest).unwrap();
    }
    let slept = Machine::new(&first);
    slept
        .read(&publisher.path("repository"), manifest, publisher.now)
        .unwrap();
}

/// The client trusts the first root throughout: it has slept.
#[test]
fn keys_come_and_go_and_a_client_that_slept_follows() {
    let mut publisher = Publisher::new();
    publisher.release("0.1.0");
    let server = publisher.serve();
    let (repository, keys) = (publisher.repository(), publisher.keys());
    for duty in Duty::ALL {
        let said = ceremony::add(&repository, &keys, duty, None, publisher.now).unwrap();
        assert!(said.ends_with("then: os-build rollout --refresh\n"), "{said}");
    }
    publisher.publish(&[]).unwrap();
    for name in ["root-1", "targets-1", "targets-2", "online-1"] {
        ceremony::retire(&repository, &keys, name, publisher.now).unwrap();
        std::fs::remove_file(publisher.path("keys").join(format!("{name}.key"))).unwrap();
        publisher.publish(&[]).unwrap();
    }
    let too_few = ceremony::retire(&repository, &keys, "targets-3", publisher.now).unwrap_err();
    assert!(
        format!("{too_few:#}").contains("1 keys would be left and 2 must sign"),
        "{too_few:#}"
    );
    publisher.now += SignedDuration::from_secs(1);
    publisher.release("0.2.0");
    let Some(client) = publisher.client() else { return };
    assert_eq!(offered(&client, &server).releases["cloud"].as_str(), "0.2.0");
}

#[test]
fn another_persons_key_joins_by_its_public_half() {
    let publisher = Publisher::new();
    publisher.release("0.1.0");
    let other = publisher.path("other");
    std::fs::create_dir(&other).unwrap();
    KeyFolder::at(&other).create().unwrap();
    let file: &Path = &other.join("targets-1.pub");
    let (repository, keys) = (publisher.repository(), publisher.keys());
    let said = ceremony::add(&repository, &keys, Duty::Targets, Some(file), publisher.now).unwrap();
    assert!(said.starts_with("targets-4 signs for targets"), "{said}");
    publisher.publish(&[]).unwrap();
    let again = ceremony::add(&repository, &keys, Duty::Targets, Some(file), publisher.now);
    assert!(again.unwrap_err().to_string().contains("known key"));
    let root = repository.root().unwrap().unwrap();
    assert_eq!((root.version.get(), root.roles.targets.keyids().len()), (2, 4));
}

#[test]
fn what_is_released_stays_as_it_is() {
    let publisher = Publisher::new();
    publisher.release("0.1.0");
    let request = release::Request {
        repository: publisher.path("repository"),
        channel: "stable".into(),
        keys: publisher.path("keys"),
        keep: 8,
        floor: None,
        now: publisher.now,
    };
    let again = release::add(&request, &content("0.1.0"), Progress::silent()).unwrap_err();
    assert!(again.to_string().contains("released already"), "{again}");
    assert!(publisher.keys().create().unwrap_err().to_string().contains("already"));
}
