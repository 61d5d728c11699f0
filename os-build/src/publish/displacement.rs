//! Where in an earlier release the content of a segment is likely to be: block hashes vote for a displacement. Pure.

use std::collections::HashMap;

use keelson_payload::{SEGMENT_BYTES, WINDOW_BYTES, Window};

/// What votes: the root's content begins on multiples of it.
const BLOCK: usize = 4096;
/// Bytes before and behind the displaced segment.
const MARGIN: u64 = (WINDOW_BYTES - SEGMENT_BYTES) as u64 / 2;

/// The blocks of an earlier release that are there once.
#[derive(Debug)]
pub struct Blocks<'a> {
    old: &'a [u8],
    /// First byte, `None` if the block is there more than once.
    places: HashMap<&'a [u8], Option<i64>>,
}

impl<'a> Blocks<'a> {
    /// Takes down the blocks of a part of an earlier release.
    #[must_use]
    pub fn of(old: &'a [u8]) -> Blocks<'a> {
        let mut places = HashMap::with_capacity(old.len() / BLOCK);
        for (block, at) in old.chunks_exact(BLOCK).zip((0_i64..).step_by(BLOCK)) {
            places
                .entry(block)
                .and_modify(|place| *place = None)
                .or_insert(Some(at));
        }
        Blocks { old, places }
    }

    /// Windows for the segment that begins at `start`, the likeliest first: the segment moved by what most of its blocks
    /// were moved by, and where it is, if that is elsewhere. Each has a margin on either side. Where programs were built
    /// anew few blocks are left to vote, and those may be strangers.
    #[must_use]
    pub fn windows(&self, start: u64, segment: &[u8]) -> Vec<Window> {
        let voted = self.window(start, segment.len(), self.displacement(start, segment));
        let own = self.window(start, segment.len(), 0);
        if voted.start.abs_diff(own.start) > MARGIN / 2 {
            vec![voted, own]
        } else {
            vec![voted]
        }
    }

    fn window(&self, start: u64, length: usize, displacement: i64) -> Window {
        let moved = i64::try_from(start).unwrap_or(i64::MAX).saturating_add(displacement);
        let from = u64::try_from(moved).unwrap_or(0).saturating_sub(MARGIN);
        let until = u64::try_from(moved.saturating_add_unsigned(length as u64)).unwrap_or(0) + MARGIN;
        let length = self.old.len() as u64;
        let (from, until) = (from.min(length), until.min(length));
        Window {
            start: if until > from { from } else { 0 },
            length: u32::try_from(until - from).unwrap_or(WINDOW_BYTES).min(WINDOW_BYTES),
        }
    }

    /// Where the earlier release has the whole segment: at its own place, or at the place its blocks vote for.
    #[must_use]
    pub fn copy(&self, start: u64, segment: &[u8]) -> Option<Window> {
        [0, self.displacement(start, segment)]
            .into_iter()
            .find_map(|displacement| {
                let from = start.checked_add_signed(displacement)?;
                let window = Window {
                    start: from,
                    length: u32::try_from(segment.len()).ok()?,
                };
                (self.bytes(window)? == segment).then_some(window)
            })
    }

    /// The bytes of a window.
    #[must_use]
    pub fn bytes(&self, window: Window) -> Option<&'a [u8]> {
        let start = usize::try_from(window.start).ok()?;
        self.old.get(start..)?.get(..window.length as usize)
    }

    fn displacement(&self, start: u64, segment: &[u8]) -> i64 {
        let start = i64::try_from(start).unwrap_or(i64::MAX);
        let mut votes: HashMap<i64, usize> = HashMap::new();
        for (block, at) in segment.chunks_exact(BLOCK).zip((start..).step_by(BLOCK)) {
            if let Some(Some(place)) = self.places.get(block) {
                *votes.entry(place - at).or_default() += 1;
            }
        }
        let best = votes
            .into_iter()
            .max_by_key(|(displacement, count)| (*count, -displacement.abs(), *displacement));
        best.map_or(0, |(displacement, _)| displacement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// Blocks that are all different.
    fn blocks(count: usize) -> Vec<u8> {
        let block = |number: usize| [number as u64 + 1; BLOCK / 8].map(u64::to_le_bytes).concat();
        (0..count).flat_map(block).collect()
    }

    fn window(start: usize, length: usize) -> Window {
        Window {
            start: start as u64,
            length: length as u32,
        }
    }

    #[test]
    fn a_segment_is_looked_for_where_its_blocks_went_and_where_it_is() {
        let old = blocks(16 * MIB / BLOCK);
        let table = Blocks::of(&old);
        let segment = &old[6 * MIB..10 * MIB];
        let (there, begin) = (window(4 * MIB, 8 * MIB), window(0, 6 * MIB));
        let windows = |start: usize, segment| table.windows((start * MIB) as u64, segment);
        assert_eq!(windows(6, segment), [there]);
        assert_eq!(windows(0, segment), [there, begin]);
        assert_eq!(windows(40, segment), [there, Window::default()]);
        assert_eq!(windows(4, &old[..4 * MIB]), [begin, window(2 * MIB, 8 * MIB)]);
        assert_eq!(table.copy(0, segment), Some(window(6 * MIB, 4 * MIB)));
    }

    #[test]
    fn a_segment_of_which_nothing_is_known_stays_where_it_is() {
        let old = blocks(6 * MIB / BLOCK);
        let table = Blocks::of(&old);
        let other = vec![0; 4 * MIB];
        assert_eq!(table.windows(4 * MIB as u64, &other), [window(2 * MIB, 4 * MIB)]);
        assert_eq!(table.windows(100 * MIB as u64, &other), [Window::default()]);
        assert_eq!(table.copy(4 * MIB as u64, &other), None);
        assert_eq!(Blocks::of(&[]).windows(0, &other), [Window::default()]);
    }

    #[test]
    fn blocks_that_are_everywhere_have_no_vote() {
        let mut old = vec![0; 8 * MIB];
        old[7 * MIB..7 * MIB + BLOCK].copy_from_slice(&blocks(1));
        let mut segment = vec![0; 4 * MIB];
        segment[..BLOCK].copy_from_slice(&blocks(1));
        assert_eq!(Blocks::of(&old).displacement(0, &segment), 7 * MIB as i64);
    }
}
