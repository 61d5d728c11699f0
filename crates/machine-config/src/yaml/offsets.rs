//! From the scanner's lines and columns, which count characters, to bytes.

use saphyr_parser::Marker;

/// Where lines begin, and where characters lie when they are not all of one byte.
pub(super) struct Offsets {
    base: usize,
    length: usize,
    /// Index of the first character of each line.
    lines: Vec<usize>,
    /// Byte offset of each character; empty for ASCII.
    characters: Vec<u32>,
}

impl Offsets {
    /// For `text`, which begins at byte `base` of the document.
    pub(super) fn new(text: &str, base: usize) -> Self {
        let ascii = text.is_ascii();
        let mut offsets = Self {
            base,
            length: text.len(),
            lines: vec![0],
            characters: Vec::new(),
        };
        let mut previous = '\0';
        for (index, (at, character)) in text.char_indices().enumerate() {
            if !ascii {
                offsets.characters.push(u32::try_from(at).unwrap_or(u32::MAX));
            }
            match (previous, character) {
                // A line ends with LF, CR, or both.
                ('\r', '\n') => drop(offsets.lines.pop().map(|_| offsets.lines.push(index + 1))),
                (_, '\n' | '\r') => offsets.lines.push(index + 1),
                _ => {}
            }
            previous = character;
        }
        offsets
    }

    /// The byte of the document that a marker points at.
    pub(super) fn byte(&self, marker: &Marker) -> usize {
        let line = self.lines.get(marker.line().saturating_sub(1));
        let index = line.map_or(self.length, |start| start + marker.col());
        let at = if self.characters.is_empty() {
            index.min(self.length)
        } else {
            self.characters.get(index).map_or(self.length, |at| *at as usize)
        };
        self.base + at
    }
}
