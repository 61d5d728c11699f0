//! Trees survive writing and reading; `fsck.erofs` and the kernel agree with our reader.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too, stop at the first surprise")]

mod trees;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use keelson_erofs::{Content, FileData, Node, Options, Reader, Tree, TreePath, WriteError, write_image};
use proptest::prelude::*;

fn image_of(tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written = write_image(tree, &mut bytes, &Options::default()).unwrap();
    assert_eq!(written.bytes, bytes.len() as u64);
    bytes
}

/// Asserts that the reader finds exactly the tree's nodes, hard links by their shared inode.
fn assert_reads_back(tree: &Tree, image: &[u8]) {
    let reader = Reader::open(image).unwrap();
    let found: BTreeMap<TreePath, keelson_erofs::Inode> = reader.walk(10_000).unwrap().into_iter().collect();
    assert!(found.keys().eq(tree.iter().map(|(path, _)| path)));
    for (path, node) in tree.iter() {
        let inode = &found[path];
        if let Content::Hardlink(target) = &node.content {
            assert_eq!(inode.nid, found[target].nid, "{path}");
            continue;
        }
        assert_eq!(inode.mode & 0o7777, node.mode, "{path}");
        assert_eq!(
            (inode.uid, inode.gid, inode.mtime),
            (node.uid, node.gid, node.mtime),
            "{path}"
        );
        assert_eq!(reader.xattrs(inode).unwrap(), node.xattrs, "{path}");
        match &node.content {
            Content::File(FileData::Bytes(bytes)) | Content::Symlink(bytes) => {
                assert_eq!(&reader.contents(inode, 1 << 30).unwrap(), bytes, "{path}");
            }
            Content::File(FileData::External { size }) => assert_eq!(inode.size, *size, "{path}"),
            Content::CharDevice { major, minor } | Content::BlockDevice { major, minor } => {
                assert_eq!(inode.device(), (*major, *minor), "{path}");
            }
            _ => {}
        }
    }
}

/// Asserts that a directory of the host holds the tree: types, modes, owners, contents, links.
/// An extraction
/// makes copies of hard links and keeps neither owners, times nor setuid bits.
fn assert_directory_holds(tree: &Tree, root: &Path, extracted: Extracted) {
    for (path, node) in tree.iter() {
        let host = root.join(String::from_utf8(path.as_bytes().to_vec()).unwrap());
        let metadata = fs::symlink_metadata(&host).unwrap_or_else(|e| panic!("{path}: {e}"));
        if let Content::Hardlink(target) = &node.content {
            let target = root.join(String::from_utf8(target.as_bytes().to_vec()).unwrap());
            match extracted {
                Extracted::No => assert_eq!(metadata.ino(), fs::metadata(target).unwrap().ino(), "{path}"),
                Extracted::Yes => assert_eq!(fs::read(host).unwrap(), fs::read(target).unwrap(), "{path}"),
            }
            continue;
        }
        let kind = metadata.file_type();
        if matches!(extracted, Extracted::No) {
            assert_eq!((metadata.uid(), metadata.gid()), (node.uid, node.gid), "{path}");
            assert_eq!(metadata.mtime(), node.mtime.seconds, "{path}");
            assert_eq!(metadata.mtime_nsec(), i64::from(node.mtime.nanoseconds), "{path}");
        }
        if !kind.is_symlink() {
            let mask = if matches!(extracted, Extracted::No) {
                0o7777
            } else {
                0o777
            };
            assert_eq!(metadata.mode() & mask, u32::from(node.mode) & mask, "{path}");
        }
        match &node.content {
            Content::Dir => {
                let names = fs::read_dir(&host).unwrap().count();
                let expected = tree
                    .below(path)
                    .filter(|(child, _)| child.parent().as_ref() == Some(path))
                    .count();
                assert_eq!(names, expected, "{path}");
            }
            Content::File(FileData::Bytes(bytes)) => assert_eq!(&fs::read(&host).unwrap(), bytes, "{path}"),
            Content::Symlink(target) => {
                assert_eq!(fs::read_link(&host).unwrap().as_os_str().as_encoded_bytes(), target);
            }
            Content::CharDevice { .. } => assert!(kind.is_char_device(), "{path}"),
            Content::BlockDevice { .. } => assert!(kind.is_block_device(), "{path}"),
            Content::Fifo => assert!(kind.is_fifo(), "{path}"),
            Content::Socket => assert!(kind.is_socket(), "{path}"),
            _ => {}
        }
    }
}

/// Whether a directory is a copy made by `fsck.erofs`, or the image itself.
#[derive(Clone, Copy)]
enum Extracted {
    Yes,
    No,
}

fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

#[test]
fn every_kind_of_node_reads_back() {
    let tree = trees::sample();
    assert_reads_back(&tree, &image_of(&tree));
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    assert_eq!(image_of(&trees::sample()), image_of(&trees::sample()));
}

#[test]
fn a_changed_file_leaves_the_blocks_of_the_others() {
    let before = image_of(&trees::sample());
    let mut tree = trees::sample();
    tree.insert("usr/bin/tool", Node::file(0o4755, vec![9; 300_000]))
        .unwrap();
    let after = image_of(&tree);
    assert_eq!(before.len(), after.len());
    let differing = before
        .chunks(4096)
        .zip(after.chunks(4096))
        .filter(|(a, b)| a != b)
        .count();
    assert_eq!(differing, 300_000_usize.div_ceil(4096));
}

#[test]
fn a_flipped_bit_in_the_superblock_is_refused() {
    let mut image = image_of(&trees::sample());
    image[1024 + 20] ^= 1;
    assert!(matches!(
        Reader::open(image.as_slice()),
        Err(keelson_erofs::ReadError::Checksum)
    ));
}

/// Cuts a file short as soon as the first byte of the image is written.
struct Truncating<'a>(&'a Path);

impl Write for Truncating<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        fs::write(self.0, b"short")?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_source_that_is_missing_or_changes_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    let mut tree = Tree::default();
    tree.insert("x", Node::file_from(0o644, source.clone())).unwrap();
    let options = Options::default();
    let missing = write_image(&tree, &mut Vec::new(), &options);
    assert!(matches!(missing, Err(WriteError::Source { path, .. }) if path == source));
    fs::write(&source, vec![1; 10_000]).unwrap();
    let changed = write_image(&tree, &mut Truncating(&source), &options);
    assert!(matches!(changed, Err(WriteError::SourceChanged { path }) if path == source));
}

#[test]
fn fsck_extracts_the_tree() {
    if Command::new("fsck.erofs").arg("-V").output().is_err() {
        assert!(
            std::env::var_os("KEELSON_STRICT").is_none(),
            "no fsck.erofs (package erofs-utils)"
        );
        return skip("no fsck.erofs");
    }
    let dir = tempfile::tempdir().unwrap();
    let (image, out) = (dir.path().join("image"), dir.path().join("out"));
    // fsck.erofs 1.5 cannot extract sockets and needs root for devices: check those by reading alone.
    let mut tree = trees::sample();
    for path in ["dev/null", "dev/sda", "run/socket", "run/fifo"] {
        tree.remove(&TreePath::parse(path).unwrap());
    }
    fs::write(&image, image_of(&tree)).unwrap();
    let result = Command::new("fsck.erofs")
        .arg(format!("--extract={}", out.display()))
        .args(["--preserve-perms", "--overwrite"])
        .arg(&image)
        .output()
        .unwrap();
    assert!(result.status.success(), "{result:?}");
    assert_directory_holds(&tree, &out, Extracted::Yes);

    fs::write(&image, image_of(&trees::sample())).unwrap();
    let result = Command::new("fsck.erofs").arg(&image).output().unwrap();
    assert!(result.status.success(), "{result:?}");
}

#[test]
fn privileged_the_kernel_mounts_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let (image, at) = (dir.path().join("image"), dir.path().join("at"));
    fs::create_dir(&at).unwrap();
    fs::write(&image, image_of(&trees::sample())).unwrap();
    let mount = Command::new("mount")
        .args(["-t", "erofs", "-o", "ro,loop"])
        .arg(&image)
        .arg(&at)
        .output();
    match mount {
        Ok(output) if output.status.success() => {}
        Ok(output) => return skip(&String::from_utf8_lossy(&output.stderr)),
        Err(error) => return skip(&error.to_string()),
    }
    let judged = std::panic::catch_unwind(|| assert_directory_holds(&trees::sample(), &at, Extracted::No));
    let unmounted = Command::new("umount").arg(&at).status().unwrap();
    assert!(unmounted.success());
    judged.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_trees_read_back(tree in trees::random()) {
        assert_reads_back(&tree, &image_of(&tree));
    }

    #[test]
    fn damaged_images_never_panic(tree in trees::random(), damage in prop::collection::vec((0_usize..20_000, any::<u8>()), 1..20)) {
        let mut image = image_of(&tree);
        for (place, byte) in damage {
            let place = 1152 + place % (image.len() - 1152);
            image[place] = byte;
        }
        let sum = keelson_erofs::format::checksum(&{
            let mut rest = image[1024..4096].to_vec();
            rest[4..8].fill(0);
            rest
        });
        image[1028..1032].copy_from_slice(&sum.to_le_bytes());
        keelson_erofs::fuzz::fuzz_erofs_reader(&image);
    }
}
