//! dm-verity parameters shared by the writer of a hash tree and the program that maps it.
//!
//! Source: kernel `Documentation/admin-guide/device-mapper/verity.rst`. Version 1, SHA-256, 4096-byte data and hash
//! blocks; the tree begins at offset 0 of its partition, without the userspace superblock, since every parameter
//! comes from the signed initramfs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bytes per data block and per hash block.
pub const BLOCK: usize = 4096;
/// Digests per hash block.
pub const FANOUT: usize = BLOCK / 32;

/// 32 bytes that identify a root file system: the top of its hash tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RootHash(pub [u8; 32]);

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected 64 hexadecimal digits, found {found:?}")]
pub struct HashError {
    /// The text as found.
    pub found: String,
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootHash({self})")
    }
}

impl FromStr for RootHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<RootHash, HashError> {
        parse_hex32(text)
            .map(RootHash)
            .ok_or_else(|| HashError { found: text.to_owned() })
    }
}

/// 64 hexadecimal digits → 32 bytes.
#[must_use]
pub fn parse_hex32(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = (hex_value(*high)? << 4) | hex_value(*low)?;
    }
    Some(bytes)
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl Serialize for RootHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RootHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<RootHash, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What the kernel must be told to map a root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerityParams {
    /// Top of the hash tree.
    pub root_hash: RootHash,
    /// Salt, 64 hexadecimal digits.
    pub salt: RootHash,
    /// Number of 4096-byte data blocks.
    pub data_blocks: u64,
}

impl VerityParams {
    /// Size of the root file system in bytes.
    #[must_use]
    pub const fn data_bytes(&self) -> u64 {
        self.data_blocks * BLOCK as u64
    }

    /// The target's parameter line of a device-mapper table, without options.
    #[must_use]
    pub fn table(&self, data_device: &str, hash_device: &str) -> String {
        format!(
            "1 {data_device} {hash_device} {BLOCK} {BLOCK} {blocks} 0 sha256 {hash} {salt}",
            blocks = self.data_blocks,
            hash = self.root_hash,
            salt = self.salt,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_reads_back_what_it_prints() {
        let hash = RootHash(std::array::from_fn(|index| index as u8 * 7));
        assert_eq!(hash.to_string().parse(), Ok(hash));
    }

    #[test]
    fn refuses_text_that_is_no_hash() {
        for text in ["", "00", &"g".repeat(64), &"0".repeat(63), &"é".repeat(32)] {
            assert!(text.parse::<RootHash>().is_err(), "{text}");
        }
    }

    #[test]
    fn table_line_follows_the_kernel_document() {
        let params = VerityParams {
            root_hash: RootHash([1; 32]),
            salt: RootHash([2; 32]),
            data_blocks: 7,
        };
        assert_eq!(
            params.table("253:3", "253:4"),
            format!(
                "1 253:3 253:4 4096 4096 7 0 sha256 {} {}",
                "01".repeat(32),
                "02".repeat(32)
            )
        );
    }
}
