//! Releases made and read back: what a patch consists of, and that making one twice gives the same bytes.

use keelson_image_layout::RootHash;
use keelson_image_layout::verity::VerityParams;
use keelson_payload::{Index, Method, PartName};

use super::*;
use crate::flavour::Flavour;
use crate::release::Naming;

const SEGMENT: usize = SEGMENT_BYTES as usize;

/// Text that compresses a little, all different.
fn text(seed: u64, length: usize) -> Vec<u8> {
    let lines =
        (seed * 1_000_000..).map(|number| format!("{:016x} of {number}\n", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let mut bytes: Vec<u8> = lines.take(length / 20 + 1).collect::<String>().into_bytes();
    bytes.resize(length, b'.');
    bytes
}

fn content(version: &str, root: Vec<u8>, boot: Vec<u8>) -> Content {
    Content {
        naming: Naming::new(version, 1_700_000_000, Flavour::Cloud).unwrap(),
        verity: VerityParams {
            root_hash: RootHash(keelson_payload::Digest::of(&root).0),
            salt: RootHash([1; 32]),
            data_blocks: root.len() as u64 / 4096,
        },
        root,
        boot,
        loader: b"loader".to_vec(),
    }
}

fn earlier(of: &Content) -> Earlier {
    let made = make(of, &[], None, &|_| ()).unwrap();
    let find = |name: &str| Ok(made.files.iter().find(|file| file.name == name).unwrap().bytes.clone());
    let read = Earlier::read(&made.manifest, &find).unwrap();
    assert!(read.root == of.root && read.boot == of.boot);
    read
}

/// One segment stays, a second one moves by a block, changes in places and grows.
fn pair() -> (Content, Content) {
    let mut root = vec![0; SEGMENT];
    (0..SEGMENT).step_by(65536).for_each(|at| root[at] = (at >> 16) as u8);
    let behind = text(1, 64 * 4096);
    let old = content("1", [root.as_slice(), &behind].concat(), text(2, 10_000));
    let mut new = [text(3, 4096), behind].concat();
    (0..new.len()).step_by(10_000).for_each(|at| new[at] ^= 1);
    new.extend(text(4, 4096));
    let mut boot = old.boot.clone();
    boot[77] ^= 1;
    (old, content("2", [root, new].concat(), boot))
}

#[test]
fn a_patch_holds_what_changed_and_no_more() {
    let (old, new) = pair();
    let made = make(&new, &[earlier(&old)], Some("1".parse().unwrap()), &|_| ()).unwrap();
    let names: Vec<&str> = made.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "manifest.json",
            "root.frames",
            "boot.frames",
            "loader.frames",
            "from-1.patch"
        ]
    );
    let patch = &made.manifest.patches[0];
    let file = &made.files[4].bytes;
    let index = Index::of_patch(head(file, &patch.file), &made.manifest, patch).unwrap();
    let first: Vec<_> = index.segments().iter().take(2).collect();
    assert_eq!(first[0].method, Method::Copy);
    let changed = first[1].stored().end - first[1].stored().start;
    assert!(changed < 4000, "{changed} bytes for {} that moved", first[1].length);
    let boot = index
        .segments()
        .iter()
        .find(|segment| segment.part == PartName::Boot)
        .unwrap();
    assert!(boot.stored().end - boot.stored().start < 100);
}

#[test]
fn making_a_release_twice_gives_the_same_bytes() {
    let (old, new) = pair();
    let [first, second] = [(); 2].map(|()| make(&new, &[earlier(&old)], None, &|_| ()).unwrap());
    assert!(first.files == second.files);
}
