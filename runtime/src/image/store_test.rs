//! The store against cuts, removals and what its records say.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;
use crate::image::fixture::{TarBuilder, add_image, stage};

fn large(byte: u8) -> Vec<u8> {
    vec![byte; 5000]
}

fn lower() -> Vec<u8> {
    TarBuilder::default()
        .dir("etc")
        .file("etc/shared", &large(1))
        .file("small", b"x")
        .finish()
}

fn upper() -> Vec<u8> {
    TarBuilder::default()
        .file("own", &large(2))
        .file(".wh.small", b"")
        .finish()
}

/// Every file below a directory.
fn files(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.to_string_lossy().into_owned());
        }
    }
    found
}

#[test]
fn an_image_is_found_by_every_kind_of_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let id = add_image(&store, "demo/app:1", &[lower(), upper()]);
    let digest = Digest::of(b"demo/app:1");
    let hex = id.hex();
    for name in [
        "demo/app:1",
        "docker.io/demo/app:1",
        &format!("demo/app@{digest}"),
        &id.to_string(),
        &hex,
        &hex[..12],
    ] {
        assert_eq!(store.find(name).unwrap(), id, "{name}");
    }
    for name in [
        "demo/app",
        "demo/app:2",
        "",
        "zz",
        "sha256:",
        &format!("demo/app@{}", Digest::of(b"no")),
    ] {
        assert!(
            matches!(store.find(name), Err(StoreError::NoSuchImage { .. })),
            "{name}"
        );
    }
    let image = store.image("demo/app:1").unwrap();
    assert_eq!(image.repo_tags, ["demo/app:1"]);
    assert_eq!(image.repo_digests, [format!("demo/app@{digest}")]);
    assert_eq!(image.created.as_deref(), Some("2026-01-02T03:04:05Z"));
    assert_eq!(image.size, (lower().len() + upper().len()) as u64);
    assert_eq!(image.diff_ids, [Digest::of(&lower()), Digest::of(&upper())]);
}

#[test]
fn what_is_committed_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let id = add_image(&Store::open(dir.path()).unwrap(), "app", &[lower()]);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.images().unwrap().len(), 1);
    assert_eq!(store.find("app").unwrap(), id);
}

#[test]
fn objects_are_shared_and_go_with_their_last_image() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    add_image(&store, "a", &[lower(), upper()]);
    let one = files(&store.objects_dir()).len();
    add_image(&store, "b", &[lower()]);
    assert_eq!((one, files(&store.objects_dir()).len()), (2, 2));
    store.untag(&"a".parse().unwrap()).unwrap();
    store.settle().unwrap();
    assert_eq!(files(&store.objects_dir()).len(), 1);
    let removed = store.untag(&"b".parse().unwrap()).unwrap();
    assert!(removed.deleted.is_some());
    assert_eq!(removed.untagged.len(), 2);
    store.settle().unwrap();
    assert_eq!(files(&store.objects_dir()).len(), 0);
    assert_eq!(files(&dir.path().join("layers")).len(), 0);
    assert!(store.images().unwrap().is_empty());
}

#[test]
fn a_second_name_keeps_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let id = add_image(&store, "a:1", &[lower()]);
    store.tag(&id, &"b:2".parse().unwrap()).unwrap();
    assert_eq!(store.untag(&"a:1".parse().unwrap()).unwrap().deleted, None);
    assert_eq!(store.image("b:2").unwrap().repo_tags, ["b:2"]);
    assert_eq!(store.remove(&id).unwrap().deleted, Some(id));
    assert!(store.tag(&id, &"c".parse().unwrap()).is_err());
}

#[test]
fn nothing_is_swept_while_a_pull_is_at_work() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let id = add_image(&store, "a", &[lower()]);
    let entered = store.enter();
    store.remove(&id).unwrap();
    assert_eq!(files(&store.objects_dir()).len(), 1);
    drop(entered);
    store.settle().unwrap();
    assert_eq!(files(&store.objects_dir()).len(), 0);
}

#[test]
fn a_sweep_that_a_cut_prevented_is_made_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let id = add_image(&store, "a", &[lower()]);
    let _entered = store.enter();
    store.remove(&id).unwrap();
    let reopened = Store::open(dir.path()).unwrap();
    reopened.settle().unwrap();
    assert_eq!(files(&reopened.objects_dir()).len(), 0);
    assert_eq!(fs::read_dir(dir.path().join("staging")).unwrap().count(), 0);
}

/// Stops a commit after each of its steps, and opens the store as the next start would.
#[test]
fn a_cut_after_any_step_leaves_the_image_whole_or_nothing_of_it() {
    for survived in 0..=6 {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        add_image(&store, "kept", &[lower()]);
        let before = files(dir.path());
        let (staging, id, image) = stage(&store, &[lower(), upper()]);
        let commit = Commit {
            store: &store,
            staging: &staging,
            id,
            image,
            reference: "kept".parse().unwrap(),
            digest: Digest::of(b"m"),
        };
        let mut step = Step::Flush;
        for _ in 0..survived {
            step = commit.advance(step).unwrap();
        }
        assert_eq!(step == Step::Done, survived == 6);
        // A cut runs no destructor.
        drop(commit);
        std::mem::forget(staging);
        let reopened = Store::open(dir.path()).unwrap();
        reopened.settle().unwrap();
        if survived == 6 {
            assert_eq!(reopened.find("kept").unwrap(), id);
            assert_eq!(reopened.images().unwrap().len(), 2);
            assert_eq!(files(&reopened.objects_dir()).len(), 2);
        } else {
            assert_eq!(files(dir.path()), before, "after {survived} steps");
            assert_eq!(reopened.image("kept").unwrap().diff_ids, [Digest::of(&lower())]);
        }
        assert_eq!(fs::read_dir(dir.path().join("staging")).unwrap().count(), 0);
    }
}

#[test]
fn a_cut_in_the_middle_of_a_step_is_made_good_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (staging, ..) = stage(&store, &[lower(), upper()]);
    // One object of two has its place.
    let name = fs::read_dir(staging.objects())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .file_name();
    let object = Digest::from_hex(name.to_str().unwrap()).unwrap();
    fs::create_dir_all(store.object_path(&object).parent().unwrap()).unwrap();
    fs::rename(staging.objects().join(&name), store.object_path(&object)).unwrap();
    std::mem::forget(staging);
    let reopened = Store::open(dir.path()).unwrap();
    reopened.settle().unwrap();
    assert_eq!(files(&reopened.objects_dir()).len(), 0);
    // And the pull succeeds when it is made again.
    add_image(&reopened, "app", &[lower(), upper()]);
    assert_eq!(files(&reopened.objects_dir()).len(), 2);
}

#[test]
fn a_name_of_an_image_that_is_gone_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let id = add_image(&store, "app", &[lower()]);
    fs::remove_file(dir.path().join("images").join(format!("{}.json", id.hex()))).unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(store.find("app").is_err());
    assert!(
        !fs::read_to_string(dir.path().join("images/names.json"))
            .unwrap()
            .contains("app")
    );
}

#[test]
fn a_store_of_a_newer_format_is_refused_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    fs::write(dir.path().join("format"), r#"{"format":7,"min_reader":1}"#).unwrap();
    assert!(Store::open(dir.path()).is_ok());
    fs::write(dir.path().join("format"), r#"{"format":7,"min_reader":2}"#).unwrap();
    assert!(matches!(
        Store::open(dir.path()),
        Err(StoreError::Format { needed: 2, known: 1 })
    ));
}

#[test]
fn a_damaged_record_hides_no_other_image_and_stops_the_sweep() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let bad = add_image(&store, "bad", &[upper()]);
    let good = add_image(&store, "good", &[lower()]);
    fs::write(dir.path().join("images").join(format!("{}.json", bad.hex())), b"{").unwrap();
    assert_eq!(store.images().unwrap().len(), 1);
    store.remove(&good).unwrap();
    let _ = store.settle();
    assert_eq!(files(&store.objects_dir()).len(), 2);
    // The damaged one can be removed, and with it the obstacle.
    store.remove(&bad).unwrap();
    store.settle().unwrap();
    assert_eq!(files(&store.objects_dir()).len(), 0);
}
