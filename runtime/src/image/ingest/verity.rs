//! The fs-verity digest of a file: SHA-256, blocks of 4096 bytes, no salt. It names objects, so that
//! the kernel can check them against their name where the policy wants it. Pure.
//!
//! Format: `Documentation/filesystems/fsverity.rst`, Merkle tree and `fsverity_descriptor`.

use sha2::{Digest as _, Sha256};

use crate::image::digest::Digest;

const BLOCK: usize = 4096;
const HASH: usize = 32;
const DESCRIPTOR: usize = 256;

/// One level of the tree: hashes that do not fill a block yet, and how many there were.
#[derive(Debug, Clone, Default)]
struct Level {
    pending: Vec<u8>,
    hashes: u64,
}

/// A digest in the making; holds one block per level of the tree.
#[derive(Debug, Clone, Default)]
pub struct VerityHasher {
    block: Vec<u8>,
    size: u64,
    levels: Vec<Level>,
}

impl VerityHasher {
    /// The digest of a whole file.
    pub fn digest(content: &[u8]) -> Digest {
        let mut hasher = Self::default();
        hasher.update(content);
        hasher.finish()
    }

    /// Takes in more content.
    pub fn update(&mut self, content: &[u8]) {
        self.size += content.len() as u64;
        let mut rest = content;
        if !self.block.is_empty() {
            let (head, tail) = rest.split_at(rest.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(head);
            rest = tail;
            if self.block.len() < BLOCK {
                return;
            }
            let hash = Sha256::digest(&self.block).into();
            self.block.clear();
            self.add(0, hash);
        }
        let mut blocks = rest.chunks_exact(BLOCK);
        for block in &mut blocks {
            self.add(0, Sha256::digest(block).into());
        }
        self.block.extend_from_slice(blocks.remainder());
    }

    /// The digest of all content so far.
    pub fn finish(mut self) -> Digest {
        if !self.block.is_empty() {
            self.block.resize(BLOCK, 0);
            let hash = Sha256::digest(&self.block).into();
            self.add(0, hash);
        }
        let root = self.root();
        let mut descriptor = [0; DESCRIPTOR];
        // Version 1, SHA-256, blocks of 2^12 bytes, no salt.
        descriptor[..3].copy_from_slice(&[1, 1, 12]);
        descriptor[8..16].copy_from_slice(&self.size.to_le_bytes());
        descriptor[16..16 + HASH].copy_from_slice(&root);
        Digest::of(&descriptor)
    }

    /// Adds a hash to a level; a full block of them goes up at once.
    fn add(&mut self, at: usize, hash: [u8; HASH]) {
        if self.levels.len() <= at {
            self.levels.resize_with(at + 1, Level::default);
        }
        let Some(level) = self.levels.get_mut(at) else { return };
        level.pending.extend_from_slice(&hash);
        level.hashes += 1;
        if level.pending.len() == BLOCK {
            let hash = Sha256::digest(&level.pending).into();
            level.pending.clear();
            self.add(at + 1, hash);
        }
    }

    /// Fills up the levels from below until one has a single hash, which is the root. An empty file's
    /// root is zero.
    fn root(&mut self) -> [u8; HASH] {
        let mut at = 0;
        while let Some(level) = self.levels.get_mut(at) {
            if level.hashes == 1 && level.pending.len() == HASH {
                return level.pending.as_slice().try_into().unwrap_or([0; HASH]);
            }
            if !level.pending.is_empty() {
                level.pending.resize(BLOCK, 0);
                let hash = Sha256::digest(&level.pending).into();
                level.pending.clear();
                self.add(at + 1, hash);
            }
            at += 1;
        }
        [0; HASH]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by the book: whole levels at once.
    fn by_the_book(content: &[u8]) -> Digest {
        let hash_blocks = |bytes: &[u8]| -> Vec<u8> {
            bytes
                .chunks(BLOCK)
                .flat_map(|block| {
                    let mut padded = block.to_vec();
                    padded.resize(BLOCK, 0);
                    Sha256::digest(&padded).to_vec()
                })
                .collect()
        };
        let mut hashes = hash_blocks(content);
        while hashes.len() > HASH {
            hashes = hash_blocks(&hashes);
        }
        hashes.resize(HASH, 0);
        let mut descriptor = vec![1, 1, 12, 0, 0, 0, 0, 0];
        descriptor.extend_from_slice(&(content.len() as u64).to_le_bytes());
        descriptor.extend_from_slice(&hashes);
        descriptor.resize(DESCRIPTOR, 0);
        Digest::of(&descriptor)
    }

    #[test]
    fn the_empty_file_has_its_published_digest() {
        let expected = "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95";
        assert_eq!(VerityHasher::digest(b"").hex(), expected);
    }

    #[test]
    fn agrees_with_the_book_at_the_edges_of_levels() {
        for blocks in [1, 2, 127, 128, 129, 256, 128 * 128, 128 * 128 + 1] {
            for extra in [-1_i64, 0, 1] {
                let size = usize::try_from(blocks * 4096 + extra).unwrap();
                let content: Vec<u8> = (0..size).map(|n| (n % 253) as u8).collect();
                assert_eq!(VerityHasher::digest(&content), by_the_book(&content), "{size}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn pieces_do_not_matter(sizes in prop::collection::vec(0_usize..9000, 0..20)) {
            let mut hasher = VerityHasher::default();
            let mut whole = Vec::new();
            for (n, size) in sizes.into_iter().enumerate() {
                let piece = vec![n as u8; size];
                hasher.update(&piece);
                whole.extend_from_slice(&piece);
            }
            prop_assert_eq!(hasher.finish(), by_the_book(&whole));
        }
    }
}
