//! The superblock, from the image's first block.

use super::ReadError;
use super::bytes::{field, u16_at, u32_at, u64_at};
use crate::format::{BLOCK_BITS, COMPAT_CHECKSUM, INCOMPAT_CHUNKED, MAGIC, SUPER_OFFSET, SUPER_SIZE, checksum};

/// The superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// Inode number of the root.
    pub root: u64,
    /// Inodes in the image.
    pub inodes: u64,
    /// Seconds since 1970 of the build.
    pub build_time: u64,
    /// Blocks in the image.
    pub blocks: u32,
    /// Block that inode numbers count from.
    pub meta_block: u32,
    /// File-system id.
    pub uuid: [u8; 16],
    /// Name, padded with NUL.
    pub volume_name: [u8; 16],
}

/// Reads the superblock out of the image's first block.
pub fn parse(block: &[u8]) -> Result<Superblock, ReadError> {
    let raw = block.get(SUPER_OFFSET as usize..).unwrap_or_default();
    if raw.len() < SUPER_SIZE || u32_at(raw, 0) != MAGIC {
        return Err(ReadError::NotErofs);
    }
    if u32_at(raw, 8) & COMPAT_CHECKSUM != 0 {
        let mut zeroed = raw.to_vec();
        if let Some(sum) = zeroed.get_mut(4..8) {
            sum.fill(0);
        }
        if checksum(&zeroed) != u32_at(raw, 4) {
            return Err(ReadError::Checksum);
        }
    }
    if field::<1>(raw, 12) != [BLOCK_BITS] {
        return Err(ReadError::Unsupported {
            what: "another block size",
        });
    }
    if u32_at(raw, 80) & !INCOMPAT_CHUNKED != 0 {
        return Err(ReadError::Unsupported {
            what: "an incompatible feature",
        });
    }
    Ok(Superblock {
        root: u64::from(u16_at(raw, 14)),
        inodes: u64_at(raw, 16),
        build_time: u64_at(raw, 24),
        blocks: u32_at(raw, 36),
        meta_block: u32_at(raw, 40),
        uuid: field(raw, 48),
        volume_name: field(raw, 64),
    })
}
