//! Directory contents: sorted entries to blocks, and back. Entries of a block come first, then their
//! names; the last name of a block ends with the block or with a NUL.

use crate::format::{BLOCK, DIRENT_SIZE};

/// One entry to be written.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Name; `.` and `..` are entries like others.
    pub name: &'a [u8],
    /// Inode number.
    pub nid: u64,
    /// Type byte.
    pub kind: u8,
}

/// How many of the entries, by the lengths of their names, fit in each block.
fn plan_blocks(lengths: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let mut blocks: Vec<(usize, usize)> = Vec::new();
    for length in lengths {
        let bytes = DIRENT_SIZE + length;
        match blocks.last_mut() {
            Some((count, used)) if *used + bytes <= BLOCK as usize => {
                *count += 1;
                *used += bytes;
            }
            _ => blocks.push((1, bytes)),
        }
    }
    blocks
}

/// Bytes of a directory with names of these lengths: whole blocks, then what the last one uses.
pub fn encoded_size(lengths: impl Iterator<Item = usize>) -> u64 {
    let blocks = plan_blocks(lengths);
    let last = blocks.last().map_or(0, |(_, used)| *used as u64);
    (blocks.len() as u64).saturating_sub(1) * BLOCK + last
}

/// The bytes of a directory. `entries` are in byte order of their names.
pub fn encode(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = entries;
    for (count, _) in plan_blocks(entries.iter().map(|entry| entry.name.len())) {
        let (block, after) = rest.split_at(count);
        rest = after;
        out.resize(out.len().next_multiple_of(BLOCK as usize), 0);
        encode_block(block, &mut out);
    }
    out
}

fn encode_block(entries: &[Entry<'_>], out: &mut Vec<u8>) {
    let mut name_offset = entries.len() * DIRENT_SIZE;
    for entry in entries {
        out.extend_from_slice(&entry.nid.to_le_bytes());
        // Fits: a block has 4096 bytes.
        out.extend_from_slice(&u16::try_from(name_offset).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(&[entry.kind, 0]);
        name_offset += entry.name.len();
    }
    for entry in entries {
        out.extend_from_slice(entry.name);
    }
}

/// Entries of one block: (name, inode number, type byte); `None` when the block is malformed.
pub fn decode_block(block: &[u8]) -> Option<Vec<(&[u8], u64, u8)>> {
    let first = name_offset(block, 0)?;
    if first == 0 || !first.is_multiple_of(DIRENT_SIZE) || first > block.len() {
        return None;
    }
    let count = first / DIRENT_SIZE;
    (0..count).map(|at| decode_entry(block, at, count)).collect()
}

fn decode_entry(block: &[u8], at: usize, count: usize) -> Option<(&[u8], u64, u8)> {
    let entry = block.get(at * DIRENT_SIZE..(at + 1) * DIRENT_SIZE)?;
    let nid = u64::from_le_bytes(entry.get(..8)?.try_into().ok()?);
    let start = name_offset(block, at)?;
    let name = if at + 1 < count {
        block.get(start..name_offset(block, at + 1)?)?
    } else {
        block.get(start..)?.split(|b| *b == 0).next()?
    };
    let valid = !name.is_empty() && !name.iter().any(|b| matches!(b, 0 | b'/'));
    valid.then_some((name, nid, *entry.get(10)?))
}

fn name_offset(block: &[u8], at: usize) -> Option<usize> {
    let bytes = block.get(at * DIRENT_SIZE + 8..at * DIRENT_SIZE + 10)?;
    Some(usize::from(u16::from_le_bytes(bytes.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_encoding_over_several_blocks() {
        let names: Vec<String> = (0..1000).map(|n| format!("entry-{n:05}")).collect();
        let entries: Vec<Entry<'_>> = names
            .iter()
            .map(|name| Entry {
                name: name.as_bytes(),
                nid: 7,
                kind: 1,
            })
            .collect();
        let bytes = encode(&entries);
        assert_eq!(bytes.len() as u64, encoded_size(names.iter().map(String::len)));
        let decoded: Vec<Vec<u8>> = bytes
            .chunks(BLOCK as usize)
            .flat_map(|block| decode_block(block).unwrap())
            .map(|(name, _, _)| name.to_vec())
            .collect();
        assert_eq!(
            decoded,
            names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>()
        );
    }
}
