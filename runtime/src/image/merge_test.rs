//! The rules of layers, case by case.

use proptest::prelude::*;

use super::*;
use crate::image::fixture::{TarBuilder, split};

fn merge(layers: &[Vec<u8>]) -> Result<Tree, MergeError> {
    let mut merged = Merged::default();
    for tar in layers {
        merged.add_layer(split(tar).unwrap().as_slice())?;
    }
    Ok(merged.into_tree())
}

fn paths(tree: &Tree) -> Vec<String> {
    tree.iter().map(|(path, _)| path.to_string()).skip(1).collect()
}

fn get<'a>(tree: &'a Tree, path: &str) -> &'a Node {
    tree.get(&TreePath::parse(path).unwrap())
        .unwrap_or_else(|| panic!("no {path}"))
}

fn tar() -> TarBuilder {
    TarBuilder::default()
}

#[test]
fn a_whiteout_hides_what_is_below_and_not_its_own_layer() {
    let lower = tar()
        .dir("a")
        .file("a/x", b"1")
        .file("a/y", b"1")
        .file("b", b"1")
        .finish();
    let upper = tar()
        .file("a/new", b"2")
        .file("a/.wh.x", b"")
        .file(".wh.b", b"")
        .file("b", b"2")
        .finish();
    let tree = merge(&[lower, upper]).unwrap();
    assert_eq!(paths(&tree), ["/a", "/a/new", "/a/y", "/b"]);
}

#[test]
fn an_opaque_directory_keeps_what_its_own_layer_adds() {
    let lower = tar().dir("a").file("a/x", b"1").dir("a/d").file("a/d/y", b"1").finish();
    let upper = tar().file("a/new", b"2").dir("a").file("a/.wh..wh..opq", b"").finish();
    assert_eq!(paths(&merge(&[lower, upper]).unwrap()), ["/a", "/a/new"]);
}

#[test]
fn a_node_of_another_kind_replaces_what_was_there() {
    let lower = tar().dir("a").file("a/x", b"1").file("f", b"1").finish();
    let upper = tar().file("a", b"2").dir("f").file("f/x", b"2").finish();
    assert_eq!(paths(&merge(&[lower, upper]).unwrap()), ["/a", "/f", "/f/x"]);
}

#[test]
fn a_directory_stated_again_keeps_its_entries_and_takes_the_new_mode() {
    let lower = tar().dir("a").file("a/x", b"1").finish();
    let upper = tar()
        .entry(b'5', "a/", 0o700, "", b"")
        .entry(b'5', "./", 0o711, "", b"")
        .finish();
    let tree = merge(&[lower, upper]).unwrap();
    assert_eq!(paths(&tree), ["/a", "/a/x"]);
    assert_eq!((get(&tree, "a").mode, get(&tree, "/").mode), (0o700, 0o711));
}

#[test]
fn a_hard_link_outlives_its_first_name() {
    let lower = tar().file("a", b"1").hardlink("b", "./a").finish();
    let upper = tar().file(".wh.a", b"").hardlink("c", "/b").finish();
    let tree = merge(&[lower.clone(), upper]).unwrap();
    assert_eq!(paths(&tree), ["/b", "/c"]);
    assert_eq!(get(&tree, "b").content, Content::File(FileData::Bytes(b"1".to_vec())));
    assert_eq!(
        get(&tree, "c").content,
        Content::Hardlink(TreePath::parse("b").unwrap())
    );
    let replaced = merge(&[lower, tar().file("a", b"2").finish()]).unwrap();
    assert_eq!(
        get(&replaced, "b").content,
        Content::File(FileData::Bytes(b"1".to_vec()))
    );
}

#[test]
fn a_hard_link_to_nothing_is_refused() {
    for target in ["gone", "d"] {
        let layer = tar().dir("d").hardlink("b", target).finish();
        assert!(matches!(merge(&[layer]), Err(MergeError::Hardlink { .. })), "{target}");
    }
}

#[test]
fn parents_are_made_and_links_on_the_way_followed_within_the_root() {
    let lower = tar()
        .dir("usr/lib")
        .symlink("lib", "usr/lib")
        .symlink("up", "/../../usr")
        .finish();
    let upper = tar()
        .file("lib/x", b"1")
        .file("up/y", b"1")
        .file("new/deep/z", b"1")
        .finish();
    let tree = merge(&[lower, upper]).unwrap();
    assert_eq!(
        paths(&tree),
        [
            "/lib",
            "/new",
            "/new/deep",
            "/new/deep/z",
            "/up",
            "/usr",
            "/usr/lib",
            "/usr/lib/x",
            "/usr/y"
        ]
    );
    let looping = tar().symlink("a", "b").symlink("b", "a").file("a/x", b"").finish();
    assert!(matches!(merge(&[looping]), Err(MergeError::Loop { .. })));
}

#[test]
fn a_symlink_is_replaced_not_followed_by_its_own_name() {
    let lower = tar().file("target", b"1").symlink("l", "target").finish();
    let upper = tar().file("l", b"2").finish();
    let tree = merge(&[lower, upper]).unwrap();
    assert_eq!(
        get(&tree, "target").content,
        Content::File(FileData::Bytes(b"1".to_vec()))
    );
    assert_eq!(get(&tree, "l").content, Content::File(FileData::Bytes(b"2".to_vec())));
}

#[test]
fn a_large_file_points_at_its_object() {
    let content = vec![5; 100];
    let tree = merge(&[tar().file("f", &content).finish()]).unwrap();
    let node = get(&tree, "f");
    assert_eq!(node.content, Content::File(FileData::External { size: 100 }));
    let object = crate::image::ingest::VerityHasher::digest(&content);
    let redirect = format!("/{}", object_name(&object));
    assert_eq!(node.xattrs[b"trusted.overlay.redirect".as_slice()], redirect.as_bytes());
    assert_eq!(node.xattrs[b"trusted.overlay.metacopy".as_slice()].len(), 36);
}

#[test]
fn a_layer_cannot_speak_to_overlay() {
    let layer = tar()
        .pax(&[
            ("SCHILY.xattr.trusted.overlay.redirect", b"/00/11"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.security.capability", b"cap"),
            ("SCHILY.xattr.system.nfs4_acl", b"x"),
            ("SCHILY.xattr.user.a", b"b"),
        ])
        .file("f", b"1")
        .entry(b'3', "whiteout", 0, "", b"")
        .finish();
    let tree = merge(&[layer]).unwrap();
    let names: Vec<&[u8]> = get(&tree, "f").xattrs.keys().map(Vec::as_slice).collect();
    assert_eq!(names, [b"security.capability".as_slice(), b"user.a"]);
    assert_eq!(paths(&tree), ["/f"]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_merges_can_be_written(entries in prop::collection::vec((0_usize..6, "[ab.]{1,2}(/[ab]){0,2}", "(/|../)?[ab](/[ab])?"), 0..30), cut in 0_usize..30) {
        let build = |entries: &[(usize, String, String)]| {
            entries.iter().fold(tar(), |tar, (kind, name, link)| match kind {
                0 => tar.dir(name),
                1 => tar.symlink(name, link),
                2 => tar.hardlink(name, link),
                3 => tar.file(&format!("{name}/.wh..wh..opq"), b""),
                4 => tar.file(&format!(".wh.{name}"), b""),
                _ => tar.file(name, b"x"),
            }).finish()
        };
        let (lower, upper) = entries.split_at(cut.min(entries.len()));
        let layers: Vec<Vec<u8>> = [lower, upper].into_iter().map(build).collect();
        if layers.iter().all(|tar| split(tar).is_ok()) && let Ok(tree) = merge(&layers) {
            prop_assert_eq!(tree.validate(), Ok(()));
        }
    }
}
