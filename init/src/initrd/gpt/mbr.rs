//! The protective master boot record in sector 0: firmware and kernel take a disk without it for one without a table.

use super::SECTOR;

/// Where the four entries lie, and their length.
const ENTRIES_AT: usize = 446;
const ENTRY_BYTES: usize = 16;
/// Type of an entry that stands for a partition table of ours, and its place in the entry.
const PROTECTIVE: u8 = 0xee;
const TYPE_AT: usize = 4;
const SIGNATURE_AT: usize = 510;
const SIGNATURE: [u8; 2] = [0x55, 0xaa];

/// Whether sector 0 protects a table.
#[must_use]
pub fn is_protective(sector: &[u8]) -> bool {
    let entries = sector.get(ENTRIES_AT..SIGNATURE_AT).unwrap_or_default();
    let protects = |entry: &[u8]| entry.get(TYPE_AT) == Some(&PROTECTIVE);
    sector.get(SIGNATURE_AT..SIGNATURE_AT + 2) == Some(&SIGNATURE) && entries.chunks(ENTRY_BYTES).any(protects)
}

/// Sector 0 of a disk of `sectors` sectors. Source: UEFI Specification, "Protective MBR".
#[must_use]
pub fn protective(sectors: u64) -> Vec<u8> {
    let size = u32::try_from(sectors.saturating_sub(1)).unwrap_or(u32::MAX);
    let mut sector = vec![0; ENTRIES_AT];
    sector.extend([0, 0, 2, 0, PROTECTIVE, 0xff, 0xff, 0xff]);
    sector.extend(1u32.to_le_bytes());
    sector.extend(size.to_le_bytes());
    sector.resize(SIGNATURE_AT, 0);
    sector.extend(SIGNATURE);
    debug_assert_eq!(sector.len() as u64, SECTOR);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_protects_and_little_else_does() {
        for sectors in [8 << 20, u64::MAX] {
            assert!(is_protective(&protective(sectors)));
        }
        assert!(!is_protective(&[0; 512]) && !is_protective(&[]));
        let mut damaged = protective(100);
        damaged[ENTRIES_AT + TYPE_AT] = 7;
        assert!(!is_protective(&damaged));
    }
}
