//! Trees for tests: one with every kind of node and awkward size, and random ones.

use keelson_erofs::{Content, FileData, Node, Time, Tree, TreePath, Xattrs};
use proptest::prelude::*;

/// Every kind of node; sizes around the limits of inlining and blocks; long xattrs; a large directory.
pub fn sample() -> Tree {
    let mut tree = Tree::new(Node::dir(0o755));
    let mut put = |path: &str, node: Node| tree.insert_with_parents(path, node).unwrap();
    for size in [0, 1, 511, 512, 513, 4095, 4096, 4097, 8192] {
        put(
            &format!("sizes/{size}"),
            Node::file(0o644, (0..size).map(|n| (n % 251) as u8).collect()),
        );
    }
    for n in 0..700 {
        put(
            &format!("many/entry-with-a-name-{n:04}"),
            Node::file(0o600, vec![n as u8; 3]),
        );
    }
    put("usr/bin/tool", Node::file(0o4755, vec![7; 300_000]));
    put(
        "usr/bin/link",
        Node::new(0, Content::Hardlink(TreePath::parse("usr/bin/tool").unwrap())),
    );
    put("bin", Node::symlink("usr/bin"));
    put("long-link", Node::symlink("x".repeat(4000)));
    put("dev/null", Node::new(0o666, Content::CharDevice { major: 1, minor: 3 }));
    put(
        "dev/sda",
        Node::new(
            0o660,
            Content::BlockDevice {
                major: 259,
                minor: 70_000,
            },
        ),
    );
    put("run/fifo", Node::new(0o600, Content::Fifo));
    put("run/socket", Node::new(0o700, Content::Socket));
    put("tmp", Node::dir(0o1777));
    put("!first", Node::file(0o644, b"sorts before the dot".to_vec()));
    let mut owned = Node::file(0o640, b"owned".to_vec());
    (owned.uid, owned.gid) = (100_000, 70_000);
    owned.mtime = Time {
        seconds: 1_700_000_000,
        nanoseconds: 123_456_789,
    };
    owned.xattrs = Xattrs::from([
        (b"user.large".to_vec(), vec![5; 5000]),
        (b"user.b".to_vec(), b"2".to_vec()),
    ]);
    put("etc/owned", owned);
    tree
}

fn node() -> impl Strategy<Value = Node> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..9000);
    let content = prop_oneof![
        4 => bytes().prop_map(|bytes| Content::File(FileData::Bytes(bytes))),
        1 => (0_u64..1 << 40).prop_map(|size| Content::File(FileData::External { size })),
        1 => prop::collection::vec(1_u8.., 1..4095).prop_map(Content::Symlink),
        1 => (0_u32..4096, 0_u32..1 << 20).prop_map(|(major, minor)| Content::CharDevice { major, minor }),
        1 => Just(Content::Fifo),
        4 => Just(Content::Dir),
    ];
    let xattr = ("user\\.[a-z]{1,20}", prop::collection::vec(any::<u8>(), 0..3000));
    let xattrs = prop::collection::btree_map(xattr.0.prop_map(String::into_bytes), xattr.1, 0..4);
    (
        content,
        0_u16..0o10000,
        any::<u32>(),
        any::<i64>(),
        0_u32..1_000_000_000,
        xattrs,
    )
        .prop_map(|(content, mode, uid, seconds, nanoseconds, xattrs)| Node {
            mode,
            uid,
            gid: uid.rotate_left(7),
            mtime: Time { seconds, nanoseconds },
            xattrs,
            content,
        })
}

/// Random trees of up to 60 nodes, names of any bytes, some files with a second name.
pub fn random() -> impl Strategy<Value = Tree> {
    let name = prop_oneof![
        prop::collection::vec(any::<u8>().prop_filter("name byte", |b| !matches!(b, 0 | b'/')), 1..40),
        Just(vec![b'n'; 255]),
    ];
    let entry = (any::<prop::sample::Index>(), name, node(), any::<bool>());
    prop::collection::vec(entry, 0..60).prop_map(|entries| {
        let mut tree = Tree::default();
        let mut dirs = vec![TreePath::root()];
        for (at, name, node, linked) in entries {
            let Ok(path) = at.get(&dirs).join(&name) else { continue };
            if tree.get(&path).is_some() {
                continue;
            }
            match &node.content {
                Content::Dir => dirs.push(path.clone()),
                _ if linked => {
                    let second = at.get(&dirs).join(b"~second").unwrap();
                    if tree.get(&second).is_none() {
                        tree.set(second, Node::new(0, Content::Hardlink(path.clone())));
                    }
                }
                _ => {}
            }
            if tree.get(&path).is_none() {
                tree.set(path, node);
            }
        }
        tree
    })
}
