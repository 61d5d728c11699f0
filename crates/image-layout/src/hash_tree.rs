//! Hash tree of dm-verity over a root image: what `veritysetup format --no-superblock --hash-offset=0` would write.
//!
//! Source: kernel `Documentation/admin-guide/device-mapper/verity.rst`, format version 1 (salt before the data). The
//! levels lie on the device from the top (the block whose digest is the root hash) down to the digests of the data.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::verity::{BLOCK, FANOUT, RootHash, VerityParams};

/// A tree and what the kernel must be told to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashTree {
    /// Content of the hash partition from its first byte.
    pub bytes: Vec<u8>,
    /// Root hash, salt and size.
    pub params: VerityParams,
}

/// Hashes `data`, whose last block is filled up with zeros.
///
/// # Errors
/// `data` cannot be read.
pub fn hash_tree(data: &mut impl Read, salt: [u8; 32]) -> io::Result<HashTree> {
    let seeded = Sha256::new_with_prefix(salt);
    let (mut level, data_blocks) = hash_data(data, &seeded)?;
    let mut levels = Vec::new();
    // A single data block has no tree: its own digest is the root hash.
    while level.len() > 32 {
        level.resize(level.len().next_multiple_of(BLOCK), 0);
        let above = level.chunks(BLOCK).flat_map(|block| digest(&seeded, block)).collect();
        levels.push(std::mem::replace(&mut level, above));
    }
    let mut root_hash = [0; 32];
    root_hash.iter_mut().zip(&level).for_each(|(to, from)| *to = *from);
    Ok(HashTree {
        bytes: levels.into_iter().rev().flatten().collect(),
        params: VerityParams {
            root_hash: RootHash(root_hash),
            salt: RootHash(salt),
            data_blocks,
        },
    })
}

/// Bytes of the tree over so many blocks of data.
#[must_use]
pub fn tree_bytes(data_blocks: u64) -> u64 {
    let (mut level, mut blocks) = (data_blocks, 0);
    while level > 1 {
        level = level.div_ceil(FANOUT as u64);
        blocks += level;
    }
    blocks * BLOCK as u64
}

fn hash_data(data: &mut impl Read, seeded: &Sha256) -> io::Result<(Vec<u8>, u64)> {
    let mut digests = Vec::new();
    let mut blocks = 0;
    loop {
        let mut block = Vec::with_capacity(BLOCK);
        data.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok((digests, blocks));
        }
        block.resize(BLOCK, 0);
        digests.extend(digest(seeded, &block));
        blocks += 1;
    }
}

fn digest(seeded: &Sha256, block: &[u8]) -> [u8; 32] {
    seeded.clone().chain_update(block).finalize().into()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn sample(blocks: usize) -> Vec<u8> {
        (0..blocks * BLOCK).map(|index| (index * 31 / 7) as u8).collect()
    }

    #[test]
    fn levels_grow_with_the_data() {
        for (blocks, tree_blocks) in [
            (1, 0),
            (2, 1),
            (128, 1),
            (129, 3),
            (128 * 128, 129),
            (128 * 128 + 1, 132),
        ] {
            let tree = hash_tree(&mut io::Cursor::new(vec![0; blocks * BLOCK]), [0; 32]).unwrap();
            assert_eq!(tree.bytes.len(), tree_blocks * BLOCK, "{blocks} blocks");
            assert_eq!(tree_bytes(blocks as u64), (tree_blocks * BLOCK) as u64);
            assert_eq!(tree.params.data_blocks, blocks as u64);
        }
    }

    #[test]
    fn every_level_is_hashed_into_the_one_above() {
        let data = sample(300);
        let salt = [7; 32];
        let tree = hash_tree(&mut data.as_slice(), salt).unwrap();
        let salted = |block: &[u8]| digest(&Sha256::new_with_prefix(salt), block);
        assert_eq!(tree.params.root_hash.0, salted(&tree.bytes[..BLOCK]));
        assert_eq!(tree.bytes[..32], salted(&tree.bytes[BLOCK..2 * BLOCK]));
        assert_eq!(tree.bytes[BLOCK..BLOCK + 32], salted(&data[..BLOCK]));
    }

    #[test]
    fn agrees_with_veritysetup() {
        if Command::new("veritysetup").arg("--version").output().is_err() {
            assert!(
                std::env::var_os("KEELSON_STRICT").is_none(),
                "no veritysetup (package cryptsetup-bin)"
            );
            eprintln!("skipped: veritysetup (package cryptsetup-bin) is not installed");
            return;
        }
        let place = tempfile::tempdir().unwrap();
        for blocks in [2, 128, 129, 20_000] {
            let data = sample(blocks);
            let tree = hash_tree(&mut data.as_slice(), [0xa5; 32]).unwrap();
            std::fs::write(place.path().join("data"), &data).unwrap();
            let output = Command::new("veritysetup")
                .args(["format", "--no-superblock", "--salt", &"a5".repeat(32), "data", "hash"])
                .current_dir(place.path())
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                text.contains(&tree.params.root_hash.to_string()),
                "{blocks} blocks: {text}"
            );
            assert_eq!(
                std::fs::read(place.path().join("hash")).unwrap(),
                tree.bytes,
                "{blocks} blocks"
            );
        }
    }
}
