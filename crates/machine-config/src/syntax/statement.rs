//! Cuts a document into statements, so that a broken one does not hide the mistakes after it.
//!
//! Follows TOML as far as it must to find where a statement ends; where the text is broken it guesses that the next line
//! that looks like a statement is one.

use std::ops::Range;

/// What a statement looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `[table]` or `[[table]]`.
    Header,
    /// `key = value`, or what was meant to be one.
    Pair,
}

/// A statement without the newline that ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) range: Range<usize>,
    pub(super) shape: Shape,
}

/// The statements of a text in order; lines that are blank or comments belong to none.
pub(super) fn statements(text: &str) -> Vec<Statement> {
    let mut found = Vec::new();
    let mut scan = Scanner {
        text,
        no_fence_after: [usize::MAX; 2],
    };
    let mut at = 0;
    while at < text.len() {
        let end = line_end(text, at);
        let line = text
            .get(at..end)
            .unwrap_or_default()
            .trim_start_matches([' ', '\t', '\u{feff}']);
        let start = end - line.len();
        if line.trim_end().is_empty() || line.starts_with('#') {
            at = end + 1;
        } else if line.starts_with('[') {
            found.push(Statement {
                range: start..end,
                shape: Shape::Header,
            });
            at = end + 1;
        } else {
            let end = scan.pair_end(start);
            found.push(Statement {
                range: start..end,
                shape: Shape::Pair,
            });
            at = end + 1;
        }
    }
    found
}

pub(super) fn line_end(text: &str, at: usize) -> usize {
    text.get(at..)
        .and_then(|rest| rest.find('\n'))
        .map_or(text.len(), |length| at + length)
}

struct Scanner<'a> {
    text: &'a str,
    /// For `"""` and `'''`: from this offset on there is none, so that it is looked for once.
    no_fence_after: [usize; 2],
}

impl Scanner<'_> {
    /// End of the pair that starts at `start`.
    fn pair_end(&mut self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut open: Vec<u8> = Vec::new();
        let mut at = start;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\n' if open.is_empty() => return at,
                b'\n' if self.starts_statement(at + 1, open.last().copied(), start) => return at,
                b'#' => at = line_end(self.text, at) - 1,
                b'[' | b'{' => open.push(*byte),
                b']' | b'}' => {
                    open.pop();
                }
                b'"' | b'\'' => match self.string_end(at) {
                    Ok(end) => at = end - 1,
                    Err(end) => return end,
                },
                _ => {}
            }
            at += 1;
        }
        self.text.len()
    }

    /// `Ok` is behind the closing quote, or at the newline that a one-line string cannot pass; `Err` is where a string
    /// over several lines that is never closed seems to end.
    fn string_end(&mut self, at: usize) -> Result<usize, usize> {
        let rest = self.text.get(at..).unwrap_or_default();
        let fence = if rest.starts_with('"') { "\"\"\"" } else { "'''" };
        if rest.starts_with(fence) {
            return self.fenced_end(at, fence);
        }
        let bytes = rest.as_bytes();
        let quote = bytes.first().copied();
        let mut i = 1;
        while let Some(byte) = bytes.get(i) {
            match byte {
                b'\n' => return Ok(at + i),
                b'\\' if quote == Some(b'"') && bytes.get(i + 1) != Some(&b'\n') => i += 1,
                _ if Some(*byte) == quote => return Ok(at + i + 1),
                _ => {}
            }
            i += 1;
        }
        Ok(self.text.len())
    }

    fn fenced_end(&mut self, at: usize, fence: &str) -> Result<usize, usize> {
        let index = usize::from(fence == "'''");
        let known_absent = self.no_fence_after.get(index).is_some_and(|from| at + 3 >= *from);
        if let Some(end) = (!known_absent).then(|| self.closing_fence(at + 3, fence)).flatten() {
            let quotes = self.text.get(end..).unwrap_or_default().bytes().take(5);
            let quotes = quotes.take_while(|b| fence.as_bytes().contains(b)).count();
            return Ok(end + quotes);
        }
        if let Some(from) = self.no_fence_after.get_mut(index) {
            *from = (*from).min(at + 3);
        }
        Err(self.guess_end(at))
    }

    /// The next fence at or behind `from` that no backslash escapes.
    fn closing_fence(&self, mut from: usize, fence: &str) -> Option<usize> {
        loop {
            let end = from + self.text.get(from..)?.find(fence)?;
            if !fence.starts_with('"') || !is_escaped(self.text, end) {
                return Some(end);
            }
            from = end + 1;
        }
    }

    /// The end of the line before the next one that looks like a statement.
    fn guess_end(&self, at: usize) -> usize {
        let mut end = line_end(self.text, at);
        while end < self.text.len() && !self.looks_like_statement(end + 1) {
            end = line_end(self.text, end + 1);
        }
        end
    }

    /// Whether the line at `at`, inside brackets whose innermost is `open`, rather starts a statement of its own.
    fn starts_statement(&self, at: usize, open: Option<u8>, start: usize) -> bool {
        match open {
            // A new line in an inline table may hold a key; after a comma or the brace it does.
            Some(b'{') => {
                let before = || self.text.get(start..at).unwrap_or_default().trim_end();
                self.looks_like_header(at) || (self.looks_like_statement(at) && !before().ends_with([',', '{']))
            }
            _ => self.looks_like_statement(at),
        }
    }

    fn line(&self, at: usize) -> &str {
        self.text.get(at..line_end(self.text, at)).unwrap_or_default().trim()
    }

    fn looks_like_header(&self, at: usize) -> bool {
        let line = self.line(at);
        let name = line.trim_start_matches('[');
        line.starts_with('[') && name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.contains(']')
    }

    fn looks_like_statement(&self, at: usize) -> bool {
        let line = self.line(at);
        let key = line.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "_-.".contains(c));
        let value = key.trim_start().strip_prefix('=').unwrap_or_default().trim_start();
        let pair = key.len() < line.len() && !value.is_empty() && !value.starts_with('=');
        pair || self.looks_like_header(at)
    }
}

/// Whether an odd number of backslashes stands before `at`.
fn is_escaped(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    (before.len() - before.trim_end_matches('\\').len()) % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        statements(text).into_iter().map(|s| &text[s.range]).collect()
    }

    #[test]
    fn follows_values_over_several_lines() {
        let text = "a = [\n 1, # ]\n 2 ]\nb = \"\"\"\n[x]\n\\\"\"\"\n\"\"\"\n[t]\nc = {\n d = 1,\n e = 2 }\n";
        assert_eq!(
            cut(text),
            [
                "a = [\n 1, # ]\n 2 ]",
                "b = \"\"\"\n[x]\n\\\"\"\"\n\"\"\"",
                "[t]",
                "c = {\n d = 1,\n e = 2 }"
            ]
        );
    }

    #[test]
    fn resumes_after_what_is_not_closed() {
        for (text, expected) in [
            ("a = [1,\nb = 2\n", vec!["a = [1,", "b = 2"]),
            ("a = {x = 1\n[b]\nc = 2\n", vec!["a = {x = 1", "[b]", "c = 2"]),
            ("a = \"x\nb = 2", vec!["a = \"x", "b = 2"]),
            ("a = \"\"\"x\ny\nb = 2", vec!["a = \"\"\"x\ny", "b = 2"]),
            ("a = '''\nQUJD=\n[b]", vec!["a = '''\nQUJD=", "[b]"]),
            ("[a\nb", vec!["[a", "b"]),
        ] {
            assert_eq!(cut(text), expected);
        }
    }
}
