//! Puts into words what the scanner stumbled over, and finds the line that is to blame: often an earlier one.

use std::ops::Range;

use super::line::{Line, Until, lines};
use crate::diagnostic::Code;
use crate::syntax::Fault;

/// How much has to be taken out for the rest to be readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// The value of the line's key.
    Value,
    /// The line, with what hangs on it.
    Line,
}

/// A mistake in words.
#[derive(Debug)]
pub(super) struct Explained {
    /// Bytes of the line to take out, without its end.
    pub(super) line: Range<usize>,
    pub(super) extent: Extent,
    /// What is indented deeper hangs on the line.
    pub(super) column: usize,
    mark: Range<usize>,
    message: String,
    cure: String,
    hidden: Range<usize>,
}

impl Explained {
    /// As a mistake of the document, in which the text begins at `base`.
    pub(super) fn fault(&self, base: usize) -> Fault {
        Fault {
            code: Code::Syntax,
            range: base + self.mark.start..base + self.mark.end,
            first: None,
            message: self.message.clone(),
            cure: (!self.cure.is_empty()).then(|| self.cure.clone()),
            hidden: base + self.hidden.start..base + self.hidden.end,
        }
    }
}

/// The cure when nothing better is known.
const FORM: &str = "write `KEY: VALUE` on a line of its own, indented like its neighbours, and text between quotes";

/// What the scanner says, when nothing better is known.
pub(super) fn plain(range: Range<usize>, info: &str) -> Fault {
    Fault {
        code: Code::Syntax,
        hidden: range.clone(),
        range,
        first: None,
        message: format!("this is not YAML: {info}"),
        cure: Some(FORM.to_owned()),
    }
}

/// What is wrong with `text`, which the scanner left at byte `at` with the words `info`. Values are shown only of keys
/// that `shown` names.
pub(super) fn explain(text: &str, at: usize, info: &str, shown: fn(&str) -> bool) -> Explained {
    let lines = lines(text);
    let index = lines.partition_point(|line| line.range.start <= at).saturating_sub(1);
    let Some(line) = lines.get(index) else {
        return bare(text, at, info);
    };
    let looked_at = lines.get(index.saturating_sub(1)..=index).unwrap_or_default();
    let case = Case {
        text,
        lines: &lines,
        shown,
    };
    lines
        .get(..=index)
        .into_iter()
        .flatten()
        .find_map(|line| case.not_closed(line, at))
        .or_else(|| case.tab(at, looked_at))
        .or_else(|| case.no_colon(line, lines.get(index + 1)))
        .or_else(|| case.no_colon(lines.get(index.checked_sub(1)?)?, Some(line)))
        .or_else(|| case.indentation(index))
        .or_else(|| looked_at.iter().rev().find_map(|line| case.value(line)))
        .unwrap_or_else(|| case.otherwise(line, at, info))
}

/// A mistake where there is no line with a key or value.
fn bare(text: &str, at: usize, info: &str) -> Explained {
    let at = text.floor_char_boundary(at.min(text.len()));
    let start = text.get(..at).unwrap_or_default().rfind('\n').map_or(0, |at| at + 1);
    let tail = text.get(start..).unwrap_or_default();
    let end = start + tail.find('\n').unwrap_or(tail.len());
    Explained {
        line: start..end,
        extent: Extent::Line,
        column: 0,
        mark: at..at,
        message: format!("this is not YAML: {info}"),
        cure: FORM.to_owned(),
        hidden: start..end,
    }
}

struct Case<'c, 'd> {
    text: &'d str,
    lines: &'c [Line<'d>],
    shown: fn(&str) -> bool,
}

impl Case<'_, '_> {
    fn explained(
        &self,
        line: &Line<'_>,
        extent: Extent,
        mark: Range<usize>,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Explained {
        Explained {
            line: line.range.clone(),
            extent,
            column: line.column(),
            mark,
            message: message.into(),
            cure: cure.into(),
            hidden: self.hidden(line),
        }
    }

    /// The part of a broken line that may be a secret: its value, unless its key is harmless.
    fn hidden(&self, line: &Line<'_>) -> Range<usize> {
        let name = |key: &Range<usize>| {
            self.text
                .get(key.clone())
                .unwrap_or_default()
                .trim_matches(['"', '\''])
                .to_owned()
        };
        match &line.key {
            Some(key) if (self.shown)(&name(key)) => 0..0,
            Some(key) => key.end + 1..line.range.end,
            None => {
                let body = line.value_text(self.text);
                let word = body.find([' ', '=', ':']).unwrap_or(0);
                let first = body.get(..word).unwrap_or_default();
                if (self.shown)(first) {
                    line.value.start + word..line.range.end
                } else {
                    line.value.start..line.range.end
                }
            }
        }
    }

    /// A quote or bracket that opens here and does not close before the place of the error.
    fn not_closed(&self, line: &Line<'_>, at: usize) -> Option<Explained> {
        let open = line.value.start..line.value.start + 1;
        let bracket = |text: &str| text.get(open.clone()).unwrap_or_default().to_owned();
        let (message, cure) = match line.until? {
            Until::Block => return None,
            Until::Closed(end) if at <= line.range.end || end < at.saturating_sub(1) && at > self.line_end(end) => {
                return None;
            }
            Until::Closed(_) | Until::OpenQuote => {
                ("this quote is not closed".to_owned(), "close it on its line".to_owned())
            }
            Until::OpenBracket => {
                let open = bracket(self.text);
                let close = if open == "[" { "]" } else { "}" };
                (format!("this `{open}` is not closed"), format!("add `{close}`"))
            }
        };
        let extent = if line.key.is_some() {
            Extent::Value
        } else {
            Extent::Line
        };
        Some(self.explained(line, extent, line.value.clone(), message, cure))
    }

    fn line_end(&self, at: usize) -> usize {
        let tail = self.text.get(at..).unwrap_or_default();
        at + tail.find('\n').unwrap_or(tail.len())
    }

    fn tab(&self, at: usize, looked_at: &[Line<'_>]) -> Option<Explained> {
        let next = self.lines.iter().find(|line| line.range.start > at);
        looked_at.iter().rev().chain(next).find_map(|line| {
            let indent = line.text.get(..line.column())?;
            let tab = line.range.start + indent.find('\t')?;
            let message = "a tab stands where the line is indented";
            let explained = self.explained(line, Extent::Line, tab..tab + 1, message, "indent with spaces");
            // As deep as the line above, for all that is known.
            let above = self
                .lines
                .iter()
                .rev()
                .find(|other| other.range.start < line.range.start);
            Some(Explained {
                column: above.map_or(0, Line::column),
                ..explained
            })
        })
    }

    /// A line that is neither a key nor an item nor the rest of a text.
    fn no_colon(&self, line: &Line<'_>, next: Option<&Line<'_>>) -> Option<Explained> {
        let body = line.value_text(self.text);
        // A text as an item is fine, unless keys follow that would belong to it.
        let followed =
            next.is_some_and(|next| next.key.is_some() && next.columns.len() == 1 && next.column() == line.column());
        let item = line.columns.len() > 1 && !followed;
        if line.key.is_some()
            || body.is_empty()
            || item
            || body.starts_with(['"', '\'', '[', '{', ']', '}', '*', '&', '|', '>'])
        {
            return None;
        }
        if let Some(rest) = body.strip_prefix('-') {
            let message = "a space is missing after the dash";
            let cure = if (self.shown)(rest) {
                format!("write `- {rest}`")
            } else {
                "write `- …`".to_owned()
            };
            return Some(self.explained(line, Extent::Line, line.value.clone(), message, cure));
        }
        let word = body.find([' ', '=', ':']).unwrap_or(body.len());
        let name = body.get(..word).unwrap_or_default();
        let cure = if (self.shown)(name) {
            format!("write `{name}: VALUE`")
        } else {
            "write `KEY: VALUE`".to_owned()
        };
        let message = match body.get(word..).unwrap_or_default().chars().next() {
            Some(':') => "a space is missing after the colon",
            Some('=') => "keys and values are joined by `: ` here, not by `=`",
            _ => "this line has no `:` after its key",
        };
        Some(self.explained(line, Extent::Line, line.value.clone(), message, cure))
    }

    /// A line that is indented like nothing above it.
    fn indentation(&self, index: usize) -> Option<Explained> {
        let line = self.lines.get(index)?;
        let above = self.lines.get(..index)?;
        let before = above.last()?;
        let mut open: Vec<usize> = Vec::new();
        for line in above {
            open.retain(|column| *column < line.indent());
            open.extend(&line.columns);
        }
        let (column, item) = (line.indent(), line.columns.len() > 1);
        let mark = line.range.start..line.range.start + line.text.len() - line.text.trim_start().len();
        let mark = mark.start..mark.end.max(mark.start + 1);
        if column > before.column() {
            if before.opens(self.text) && (before.key.is_some() || before.columns.len() > 1) {
                return None;
            }
            let message = "this line is indented deeper than the one above it, which already has a value";
            let cure = format!("indent it by {}", spaces(before.column()));
            return Some(self.explained(line, Extent::Line, mark, message, cure));
        }
        if open.contains(&column) {
            return self.mixed(line, above, item);
        }
        let near = open
            .iter()
            .min_by_key(|open| (open.abs_diff(column), std::cmp::Reverse(**open)))
            .copied()
            .unwrap_or(0);
        let message = format!(
            "this line is indented by {}, which fits none of the lines above it",
            spaces(column)
        );
        Some(self.explained(
            line,
            Extent::Line,
            mark,
            message,
            format!("indent it by {}", spaces(near)),
        ))
    }

    /// An item among keys, or a key among items.
    fn mixed(&self, line: &Line<'_>, above: &[Line<'_>], item: bool) -> Option<Explained> {
        let column = line.indent();
        let sibling = above.iter().rev().find(|other| other.indent() <= column)?;
        let items = sibling.indent() == column && sibling.columns.len() > 1;
        let mark = line.range.start + column..line.range.end;
        if items && !item && line.key.is_some() {
            let message = "this key stands beside the items of a list";
            let cure = format!(
                "indent it by {} to make it part of the item, or begin it with `- `",
                spaces(sibling.column())
            );
            return Some(self.explained(line, Extent::Line, mark, message, cure));
        }
        if item && sibling.key.is_some() && !sibling.opens(self.text) {
            let message = "this item of a list stands below a key that already has a value";
            return Some(self.explained(
                line,
                Extent::Line,
                mark,
                message,
                "leave the key's value out, or the dash",
            ));
        }
        None
    }

    /// A value that needs quotes.
    fn value(&self, line: &Line<'_>) -> Option<Explained> {
        let body = line.value_text(self.text);
        let first = body.chars().next()?;
        let extent = if line.key.is_some() {
            Extent::Value
        } else {
            Extent::Line
        };
        let quotes = "put the value between quotes";
        if body.starts_with("{{") || body.starts_with("{%") {
            let message = "this looks like a template, which nothing fills in here";
            return Some(self.explained(line, extent, line.value.clone(), message, "write the value itself"));
        }
        if "@`%*&!".contains(first) {
            let message = format!("a text without quotes cannot begin with `{first}`");
            return Some(self.explained(line, extent, line.value.clone(), message, quotes));
        }
        let plain = !"\"'[{|>".contains(first);
        if let Some(colon) = body
            .find(": ")
            .or_else(|| body.ends_with(':').then(|| body.len() - 1))
            .filter(|_| plain)
        {
            let at = line.value.start + colon;
            let message = "a text with a colon and a space in it needs quotes";
            return Some(self.explained(line, extent, at..at + 1, message, quotes));
        }
        if first == '"' || first == '\'' {
            let end = super::line::closing_quote(body)?;
            let tail = body.get(end + 1..)?;
            if !tail.trim().is_empty() && !tail.trim_start().starts_with('#') {
                let at = line.value.start + end + 1;
                let message = "something stands behind the closing quote";
                let cure =
                    "put all of the value between one pair of quotes; a quote inside is written twice ('') or as \\\"";
                return Some(self.explained(line, extent, at..line.value.end, message, cure));
            }
            if first == '"' && body.contains('\\') {
                let message = "a backslash between double quotes begins an escape, and this is none";
                return Some(self.explained(
                    line,
                    extent,
                    line.value.clone(),
                    message,
                    "use single quotes, or write \\\\",
                ));
            }
        }
        None
    }

    fn otherwise(&self, line: &Line<'_>, at: usize, info: &str) -> Explained {
        let extent = if line.key.is_some() {
            Extent::Value
        } else {
            Extent::Line
        };
        let at = self
            .text
            .floor_char_boundary(at.clamp(line.range.start, line.range.end));
        self.explained(
            line,
            extent,
            at..line.range.end,
            format!("this is not YAML: {info}"),
            FORM,
        )
    }
}

fn spaces(count: usize) -> String {
    match count {
        0 => "no space".to_owned(),
        1 => "1 space".to_owned(),
        _ => format!("{count} spaces"),
    }
}
