//! Bytes of a stream cut into lines: whole ones, and pieces of those too long to wait for. Pure.

/// Longest piece, in bytes.
pub const LONGEST: usize = 16 << 10;

/// A line or a piece of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Its bytes, with the newline if it ends in one.
    pub bytes: &'a [u8],
    /// More of the same line follows.
    pub is_partial: bool,
}

/// What came of an unfinished line; at most [`LONGEST`] bytes.
#[derive(Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
}

impl Lines {
    /// Goes on with the beginning of a line.
    pub fn resume(held: Vec<u8>) -> Self {
        Self { held }
    }

    /// The beginning of a line.
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// Takes bytes and gives out what they complete, in order.
    pub fn push(&mut self, mut bytes: &[u8], mut give: impl FnMut(Piece<'_>)) {
        while !bytes.is_empty() {
            let room = LONGEST.saturating_sub(self.held.len()).min(bytes.len());
            let (near, _) = bytes.split_at(room);
            let (take, is_partial) = match near.iter().position(|byte| *byte == b'\n') {
                Some(newline) => (newline + 1, false),
                None if self.held.len() + room == LONGEST => (room, true),
                None => {
                    self.held.extend_from_slice(bytes);
                    return;
                }
            };
            let (piece, rest) = bytes.split_at(take);
            if self.held.is_empty() {
                give(Piece {
                    bytes: piece,
                    is_partial,
                });
            } else {
                self.held.extend_from_slice(piece);
                give(Piece {
                    bytes: &self.held,
                    is_partial,
                });
                self.held.clear();
            }
            bytes = rest;
        }
    }

    /// At the end of the stream: what is left without a newline.
    pub fn finish(&mut self, mut give: impl FnMut(Piece<'_>)) {
        if !self.held.is_empty() {
            give(Piece {
                bytes: &self.held,
                is_partial: false,
            });
            self.held.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(chunks: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        let mut lines = Lines::default();
        let mut got = Vec::new();
        for chunk in chunks {
            lines.push(chunk, |piece| got.push((piece.bytes.to_vec(), piece.is_partial)));
        }
        lines.finish(|piece| got.push((piece.bytes.to_vec(), piece.is_partial)));
        got
    }

    #[test]
    fn lines_survive_any_cut() {
        let text = b"one\n\ntwo\nrest";
        let whole: Vec<(Vec<u8>, bool)> = [&b"one\n"[..], b"\n", b"two\n", b"rest"]
            .iter()
            .map(|line| (line.to_vec(), false))
            .collect();
        for cut in 0..=text.len() {
            assert_eq!(feed(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}");
        }
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(feed(&single), whole);
    }

    #[test]
    fn long_lines_come_in_pieces() {
        let mut text = vec![b'x'; 2 * LONGEST + 5];
        text.push(b'\n');
        for size in [1000, LONGEST, LONGEST + 1, text.len()] {
            let chunks: Vec<&[u8]> = text.chunks(size).collect();
            let got = feed(&chunks);
            assert_eq!(
                got.iter()
                    .map(|(bytes, partial)| (bytes.len(), *partial))
                    .collect::<Vec<_>>(),
                [(LONGEST, true), (LONGEST, true), (6, false)]
            );
        }
    }
}
