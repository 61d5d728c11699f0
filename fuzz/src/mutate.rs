//! Seeded mutation of bytes, for the short run without a fuzzer: the same inputs on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own per seed.
    #[must_use]
    pub const fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next word.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.word())
            .unwrap_or(0)
            .checked_rem(limit)
            .unwrap_or(0)
    }
}

/// Values that parsers stumble over.
const TROUBLE: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b'='];

/// A changed copy of a seed: bytes flipped, replaced, removed, doubled, or the end cut off.
#[must_use]
pub fn mutate(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => {
                let trouble = TROUBLE.get(random.below(TROUBLE.len())).copied().unwrap_or(0);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = trouble;
                }
            }
            2 => bytes.truncate(at),
            3 => {
                let end = (at + random.below(16)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + random.below(32)).min(bytes.len());
                let copy = bytes.get(at..end).unwrap_or_default().to_vec();
                bytes.splice(at..at, copy);
            }
            _ => bytes.insert(at, (random.word() & 0xff) as u8),
        }
    }
    bytes
}
