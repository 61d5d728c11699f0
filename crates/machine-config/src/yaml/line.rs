//! The lines of a block of YAML as a person sees them: how deep, which dashes, which key, what value.

use std::ops::Range;

/// One line that is not inside of a longer text.
#[derive(Debug, Clone)]
pub(super) struct Line<'d> {
    /// Bytes of the text, without the line's end.
    pub(super) range: Range<usize>,
    pub(super) text: &'d str,
    /// Columns of its dashes, then of its key or value.
    pub(super) columns: Vec<usize>,
    /// Bytes of the text that hold its key, if it is `KEY: …`.
    pub(super) key: Option<Range<usize>>,
    /// Bytes of the text that hold its value, a comment and blanks left out.
    pub(super) value: Range<usize>,
    /// Where its value ends if that is on a later line: the end of the text when nothing closes it.
    pub(super) until: Option<Until>,
}

/// Why a value goes on below its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// A quote or bracket that closes at this byte.
    Closed(usize),
    /// A quote that nothing closes.
    OpenQuote,
    /// A bracket that nothing closes.
    OpenBracket,
    /// A block of text below.
    Block,
}

impl Line<'_> {
    /// Column of what the line says, after its dashes.
    pub(super) fn column(&self) -> usize {
        self.columns.last().copied().unwrap_or(0)
    }

    /// Column of its first character.
    pub(super) fn indent(&self) -> usize {
        self.columns.first().copied().unwrap_or(0)
    }

    pub(super) fn value_text<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.value.clone()).unwrap_or_default()
    }

    /// Whether something deeper may follow.
    pub(super) fn opens(&self, text: &str) -> bool {
        let value = self.value_text(text);
        value.is_empty() || (value.starts_with(['&', '!']) && !value.contains(' '))
    }
}

/// The lines of `text` that hold keys, items and values: not blank ones, comments, nor what lies inside of quotes,
/// brackets and blocks of text that end.
pub(super) fn lines(text: &str) -> Vec<Line<'_>> {
    let mut out: Vec<Line<'_>> = Vec::new();
    let mut at = 0;
    // Of a block of text: the column of its key, and that of its first line.
    let mut block: Option<(usize, Option<usize>)> = None;
    let mut skip = 0;
    for piece in text.split_inclusive('\n') {
        let range = at..at + piece.trim_end_matches(['\n', '\r']).len();
        at += piece.len();
        let body = text.get(range.clone()).unwrap_or_default();
        let indent = body.len() - body.trim_start_matches([' ', '\t']).len();
        if body.trim().is_empty() || range.start < skip {
            continue;
        }
        if let Some((column, content)) = &mut block
            && indent > *column
            && indent >= content.unwrap_or(0)
        {
            content.get_or_insert(indent);
            continue;
        }
        block = None;
        if body.trim_start().starts_with('#') {
            continue;
        }
        let line = line(text, range);
        match line.until {
            Some(Until::Block) => block = Some((line.column(), None)),
            Some(Until::Closed(end)) => skip = end,
            _ => {}
        }
        out.push(line);
    }
    out
}

fn line(text: &str, range: Range<usize>) -> Line<'_> {
    let body = text.get(range.clone()).unwrap_or_default();
    let mut at = body.len() - body.trim_start_matches([' ', '\t']).len();
    let mut columns = vec![at];
    while let Some(rest) = body.get(at..).and_then(|rest| rest.strip_prefix('-')) {
        if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
            break;
        }
        at += 1 + rest.len() - rest.trim_start().len();
        columns.push(at);
    }
    let rest = body.get(at..).unwrap_or_default();
    let key = key_length(rest);
    let value = match key {
        Some(length) => at + length + 1,
        None => at,
    };
    let start = range.start + value;
    let value = trimmed(text, start..range.end);
    Line {
        key: key.map(|length| range.start + at..range.start + at + length),
        until: until(text, &value, range.end),
        text: body,
        columns,
        value,
        range,
    }
}

/// Length of the key that opens `rest`: up to a colon that ends the line or has a blank behind it.
fn key_length(rest: &str) -> Option<usize> {
    let quoted = rest.starts_with(['"', '\'']).then(|| closing_quote(rest)).flatten();
    if rest.starts_with(['[', '{', '#', '|', '>']) {
        return None;
    }
    let from = quoted.map_or(0, |end| end + 1);
    let tail = rest.get(from..)?;
    let colon = tail.match_indices(':').map(|(at, _)| from + at).find(|at| {
        let after = rest.get(at + 1..).unwrap_or_default();
        after.is_empty() || after.starts_with([' ', '\t'])
    })?;
    let comment = rest.find(" #").is_some_and(|comment| comment < colon);
    let plain = quoted.is_none_or(|end| rest.get(end + 1..colon).is_some_and(|gap| gap.trim().is_empty()));
    (!comment && plain).then_some(colon)
}

/// Without blanks around it and without a comment behind it.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let body = text.get(range.clone()).unwrap_or_default();
    let start = range.start + body.len() - body.trim_start().len();
    let body = body.trim();
    if body.starts_with('#') {
        return start..start;
    }
    let quoted = body.starts_with(['"', '\'', '[', '{']);
    let comment = body.find(" #").filter(|_| !quoted);
    start..start + comment.map_or(body.len(), |at| body.get(..at).unwrap_or_default().trim_end().len())
}

/// Whether the value goes on below the line, which ends at `end`.
fn until(text: &str, value: &Range<usize>, end: usize) -> Option<Until> {
    let rest = text.get(value.start..)?;
    let shown = text.get(value.clone()).unwrap_or_default();
    if shown.starts_with(['|', '>']) {
        return Some(Until::Block);
    }
    let close = match shown.chars().next()? {
        '"' | '\'' => closing_quote(rest).ok_or(Until::OpenQuote),
        '[' | '{' => closing_bracket(rest),
        _ => return None,
    };
    match close {
        Ok(at) if value.start + at < end => None,
        Ok(at) => Some(Until::Closed(value.start + at)),
        Err(open) => Some(open),
    }
}

/// Where the quote that opens `rest` is closed.
pub(super) fn closing_quote(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let quote = *bytes.first()?;
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if quote == b'"' => at += 1,
            b'\'' if quote == b'\'' && bytes.get(at + 1) == Some(&b'\'') => at += 1,
            _ if *byte == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the bracket that opens `rest` is closed, or what is left open.
fn closing_bracket(rest: &str) -> Result<usize, Until> {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        let begins = before.is_none_or(|b| b.is_ascii_whitespace() || b"[{,:".contains(b));
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' | b'\'' if begins => match rest.get(at..).and_then(closing_quote) {
                Some(length) => at += length,
                None => return Err(Until::OpenQuote),
            },
            b'#' if before.is_some_and(u8::is_ascii_whitespace) => {
                at += bytes
                    .get(at..)
                    .and_then(|rest| rest.iter().position(|b| *b == b'\n'))
                    .unwrap_or(0);
            }
            _ => {}
        }
        if depth == 0 {
            return Ok(at);
        }
        at += 1;
    }
    Err(Until::OpenBracket)
}
