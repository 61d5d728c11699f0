//! The document's text: lines, columns, and excerpts in which secret values are masked.

use std::ops::Range;

use crate::diagnostic::Place;

/// What stands for a secret value in an excerpt.
pub(crate) const MASK: &str = "***";

/// A document with the beginnings of its lines and the byte ranges that must not be shown.
pub(crate) struct Text<'a> {
    text: &'a str,
    starts: Vec<usize>,
    /// Sorted, disjoint.
    masked: Vec<Range<usize>>,
    /// Where the repaired text that is being spoken of has one byte more than the document; sorted.
    inserted: Vec<usize>,
}

/// Longest excerpt, in bytes; what is longer is cut around its mark.
const MAX_EXCERPT: usize = 240;

impl<'a> Text<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            text,
            starts,
            masked: Vec::new(),
            inserted: Vec::new(),
        }
    }

    /// From now on, offsets are those of a text with one more byte at each of these (its own) offsets.
    pub(crate) fn set_inserted(&mut self, inserted: Vec<usize>) {
        self.inserted = inserted;
    }

    fn original(&self, offset: usize) -> usize {
        offset - self.inserted.partition_point(|at| *at < offset)
    }

    /// Hides these ranges from now on, beside those already hidden.
    pub(crate) fn mask(&mut self, ranges: impl IntoIterator<Item = Range<usize>>) {
        let mut all = std::mem::take(&mut self.masked);
        let ranges = ranges
            .into_iter()
            .map(|range| self.original(range.start)..self.original(range.end));
        all.extend(ranges.filter(|range| !range.is_empty()));
        all.sort_by_key(|range| range.start);
        for range in all {
            match self.masked.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => self.masked.push(range),
            }
        }
    }

    /// Line (from 0) that holds the byte.
    fn line_of(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// Byte range of a line without its end.
    fn line_range(&self, line: usize) -> Range<usize> {
        let start = self.starts.get(line).copied().unwrap_or(self.text.len());
        let end = self
            .starts
            .get(line + 1)
            .map_or(self.text.len(), |next| next.saturating_sub(1));
        let end = end.max(start);
        let body = self.text.get(start..end).unwrap_or_default();
        start..start + body.trim_end_matches('\r').len()
    }

    /// The place of a byte range; one that spans lines is shown by its first.
    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        let start = self.floor(self.original(span.start));
        let index = self.line_of(start);
        let line = self.line_range(index);
        let start = start.min(line.end);
        let end = self.floor(self.original(span.end)).clamp(start, line.end);
        let before = self.text.get(line.start..start).unwrap_or_default();
        let (excerpt, mark) = self.masked_line(&line, start..end);
        let (excerpt, mark) = window(excerpt, mark);
        Place {
            line: index + 1,
            column: before.chars().count() + 1,
            excerpt,
            mark,
        }
    }

    /// The nearest character boundary at or before `offset`.
    fn floor(&self, offset: usize) -> usize {
        self.text.floor_char_boundary(offset)
    }

    /// The line with masks in it, and where `mark` lies then.
    fn masked_line(&self, line: &Range<usize>, mark: Range<usize>) -> (String, Range<usize>) {
        let mut out = String::new();
        let mut mapped = 0..0;
        let mut at = line.start;
        let first = self.masked.partition_point(|m| m.end <= line.start);
        let hidden = self.masked.iter().skip(first).take_while(|m| m.start < line.end);
        for hidden in hidden {
            let hidden = hidden.start.max(line.start)..hidden.end.min(line.end);
            self.copy(at..hidden.start, &mark, &mut out, &mut mapped);
            if hidden.contains(&mark.start) {
                mapped.start = out.len();
            }
            out.push_str(MASK);
            if mark.end > hidden.start && mark.end <= hidden.end {
                mapped.end = out.len();
            }
            at = hidden.end;
        }
        self.copy(at..line.end, &mark, &mut out, &mut mapped);
        mapped.end = mapped.end.max(mapped.start);
        (out, mapped)
    }

    /// Copies visible text, noting where the ends of `mark` come to lie.
    fn copy(&self, part: Range<usize>, mark: &Range<usize>, out: &mut String, mapped: &mut Range<usize>) {
        let shift = |offset: usize| out.len() + (offset - part.start);
        if (part.start..=part.end).contains(&mark.start) {
            mapped.start = shift(mark.start);
        }
        if (part.start..=part.end).contains(&mark.end) {
            mapped.end = shift(mark.end);
        }
        let visible = self.text.get(part).unwrap_or_default();
        out.extend(visible.chars().map(printable));
    }

    /// The whole document with masks in it.
    pub(crate) fn redacted(&self) -> String {
        let mut out = String::with_capacity(self.text.len());
        let mut at = 0;
        for hidden in &self.masked {
            out.push_str(self.text.get(at..hidden.start).unwrap_or_default());
            out.push_str(MASK);
            at = hidden.end;
        }
        out.push_str(self.text.get(at..).unwrap_or_default());
        out
    }
}

/// Replaces a control character by a visible one of as many bytes.
fn printable(c: char) -> char {
    match (c.is_control(), c.len_utf8()) {
        (false, _) => c,
        (true, _) if c == '\t' => c,
        (true, 1) => '?',
        (true, _) => '¿',
    }
}

/// Cuts a long excerpt to what lies around its mark.
fn window(excerpt: String, mark: Range<usize>) -> (String, Range<usize>) {
    if excerpt.len() <= MAX_EXCERPT {
        return (excerpt, mark);
    }
    let start = excerpt.floor_char_boundary(mark.start.saturating_sub(MAX_EXCERPT / 2));
    let end = excerpt.floor_char_boundary(start + MAX_EXCERPT);
    let cut = excerpt.get(start..end).unwrap_or_default().to_owned();
    let mark = mark.start - start..mark.end.clamp(mark.start, end.max(mark.start)) - start;
    (cut, mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_and_columns_in_characters() {
        let text = Text::new("a = 1\r\nö = 2\n");
        let place = text.place(&(8..9));
        assert_eq!((place.line, place.column, place.excerpt.as_str()), (2, 1, "ö = 2"));
        let place = text.place(&(12..13));
        assert_eq!((place.line, place.column), (2, 5));
    }

    #[test]
    fn masks_and_moves_the_mark() {
        let mut text = Text::new("p = \"hunter2\" # x");
        text.mask(std::iter::once(4..13));
        let place = text.place(&(4..13));
        assert_eq!((place.excerpt.as_str(), place.mark), ("p = *** # x", 4..7));
        let place = text.place(&(14..15));
        assert_eq!((place.column, place.mark), (15, 8..9));
        assert_eq!(text.redacted(), "p = *** # x");
    }

    #[test]
    fn cuts_long_lines_around_the_mark() {
        let line = "x".repeat(10_000);
        let place = Text::new(&line).place(&(5000..5001));
        assert_eq!(
            (place.column, place.excerpt.len(), place.mark),
            (5001, MAX_EXCERPT, 120..121)
        );
    }

    #[test]
    fn speaks_of_the_document_when_a_repair_made_it_longer() {
        let mut text = Text::new("[a\nb = 1");
        text.set_inserted(vec![2]);
        let place = text.place(&(4..5));
        assert_eq!((place.line, place.column), (2, 1));
    }
}
