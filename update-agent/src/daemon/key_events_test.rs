//! What a thief or an accident can do to the keys and files of a repository, and what a machine makes of it.

use jiff::SignedDuration;
use keelson_os_build::publish::ceremony;
use keelson_os_build::publish::keys::Duty;
use keelson_tuf::Draft;
use keelson_tuf::metadata::{MetaFile, Snapshot, Timestamp as Newest, Version};

use super::*;

const BYTES: usize = 1 << 20;

fn newer() -> Content {
    content("2.0.0", BYTES, 4 << 10)
}

/// One look by a daemon that is started for it.
fn look(scene: &Scene, world: &Arc<World>) -> Status {
    let status = run(world, async |operator| operator.settle(Request::Check).await);
    if status.state != Told::Staged {
        let other = scene.record().slot(world.facts.slot.other()).clone();
        assert_eq!(other.state, Record::Empty, "nothing was touched");
    }
    status
}

fn ceremony(scene: &Scene, act: impl Fn(&Repository, &KeyFolder)) {
    let (repository, keys) = (
        Repository::at(&scene.at("repository")),
        KeyFolder::at(&scene.at("keys")),
    );
    act(&repository, &keys);
    offer::publish(&repository, &keys, &[], Timestamp::now()).unwrap();
}

#[test]
fn a_machine_that_slept_over_two_rotations_follows_them() {
    let scene = Scene::new(BYTES, 4 << 10);
    let world = scene.world();
    for (duty, old) in [(Duty::Root, "root-1"), (Duty::Online, "online-1")] {
        ceremony(&scene, |repository, keys| {
            ceremony::add(repository, keys, duty, None, Timestamp::now()).unwrap();
        });
        ceremony(&scene, |repository, keys| {
            ceremony::retire(repository, keys, old, Timestamp::now()).unwrap();
        });
    }
    let new = newer();
    scene.release(&new);
    assert_eq!(look(&scene, &world).state, Told::Staged);
    scene.assert_staged(&new);
    assert!(scene.at("update/tuf/roots/5.root.json").exists());
}

#[test]
fn one_stolen_targets_key_and_the_online_key_release_nothing() {
    let scene = Scene::new(BYTES, 4 << 10);
    let world = scene.world();
    assert_eq!(look(&scene, &world).state, Told::Idle);
    // The thief holds one of three targets keys and the online key, and the server.
    for stays in ["targets-2.key", "targets-3.key"] {
        fs::remove_file(scene.at("keys").join(stays)).unwrap();
    }
    let metadata = scene.at("repository/metadata");
    let new = newer();
    scene.release(&new);
    let staged = scene.at("repository/staged/2.targets.json");
    let forged = fs::read(staged).unwrap();
    fs::write(metadata.join("2.targets.json"), &forged).unwrap();
    let repository = Repository::at(&scene.at("repository"));
    let (_, snapshot) = repository.newest("snapshot").unwrap().unwrap();
    let mut snapshot: Snapshot = Draft::read::<Snapshot>(&snapshot).unwrap().content().unwrap();
    let version = Version::new(snapshot.version.get() + 1).unwrap();
    snapshot.version = version;
    let listed = MetaFile::describe(Version::new(2).unwrap(), &forged);
    snapshot.meta.insert("targets.json".to_owned(), listed);
    let online = KeyFolder::at(&scene.at("keys")).secret(Duty::Online).unwrap();
    let sign = |mut draft: Draft| {
        online.iter().for_each(|key| draft.sign(key));
        draft.to_bytes()
    };
    let (expires, bytes) = (snapshot.expires, sign(Draft::new(&snapshot).unwrap()));
    fs::write(metadata.join(format!("{version}.snapshot.json")), &bytes).unwrap();
    let timestamp = Newest::new(version, expires, MetaFile::describe(version, &bytes));
    fs::write(metadata.join("timestamp.json"), sign(Draft::new(&timestamp).unwrap())).unwrap();
    let status = look(&scene, &world);
    assert_eq!((status.state, why(&status)), (Told::Waiting, "signature"), "{status:?}");
}

#[test]
fn a_stolen_online_key_offers_what_was_signed_and_never_anything_older() {
    let scene = Scene::new(BYTES, 4 << 10);
    scene.release(&content("0.9.0", BYTES, 4 << 10));
    let status = look(&scene, &scene.world());
    assert_eq!(status.state, Told::Idle, "an older release is not taken: {status:?}");
}

#[test]
fn expired_metadata_is_not_believed() {
    let scene = Scene::new(BYTES, 4 << 10);
    scene.release(&newer());
    let (repository, keys) = (
        Repository::at(&scene.at("repository")),
        KeyFolder::at(&scene.at("keys")),
    );
    let long_ago = Timestamp::now() - SignedDuration::from_hours(48);
    offer::publish(&repository, &keys, &[], long_ago).unwrap();
    let status = look(&scene, &scene.world());
    assert_eq!((status.state, why(&status)), (Told::Waiting, "signature"));
    assert!(status.why.unwrap().words.contains("expired"));
}

#[test]
fn a_snapshot_that_was_seen_before_is_not_taken_for_a_new_one() {
    let scene = Scene::new(BYTES, 4 << 10);
    let world = scene.world();
    let timestamp = scene.at("repository/metadata/timestamp.json");
    let old = fs::read(&timestamp).unwrap();
    scene.offer(Change::Halt);
    assert_eq!(look(&scene, &world).state, Told::Idle);
    fs::write(&timestamp, old).unwrap();
    let status = look(&scene, &world);
    assert_eq!((status.state, why(&status)), (Told::Waiting, "signature"));
    assert!(status.why.unwrap().words.contains("an old copy is being served"));
}

#[test]
fn a_boot_entry_of_another_root_is_never_seen_by_the_loader() {
    let scene = Scene::new(BYTES, 4 << 10);
    let mut mixed = newer();
    mixed.boot = content("3.0.0", BYTES, 4 << 10).boot;
    scene.release(&mixed);
    let status = run(&scene.world(), async |operator| operator.settle(Request::Check).await);
    assert_eq!((status.state, why(&status)), (Told::Waiting, "unsound"), "{status:?}");
    let entries = fs::read_dir(scene.at("esp/EFI/Linux")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["ka.efi", "kb.new"]);
}
