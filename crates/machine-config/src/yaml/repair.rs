//! Takes broken lines out of a YAML text, so that the rest of it can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::build::{Stop, build};
use super::explain::{self, Explained, Extent};
use super::line::{Line, lines};
use super::tree::Value;
use crate::diagnostic::MAX_ERRORS;
use crate::syntax::{Broken, Fault};

/// The most bytes that are read again in search of further mistakes.
const MAX_WORK: usize = 4 << 20;

/// A text that is left when broken lines are taken out.
#[derive(Default)]
pub(super) struct Repaired {
    pub(super) clean: String,
    pub(super) faults: Vec<Fault>,
    pub(super) more: usize,
    pub(super) broken: Broken,
    /// Where keys begin whose values were taken out.
    pub(super) lost: BTreeSet<usize>,
}

/// Repairs section by section.
pub(super) fn repair(text: &str, shown: fn(&str) -> bool) -> Repaired {
    let mut repaired = Repaired::default();
    let mut work = MAX_WORK;
    for range in sections(text) {
        let section = text.get(range.clone()).unwrap_or_default();
        let mut clean = section.to_owned();
        mend(&mut clean, range.start, text.len(), shown, &mut work, &mut repaired);
        repaired.clean.push_str(&clean);
    }
    repaired
}

/// Repairs what only shows when the sections are read together.
pub(super) fn repair_whole(clean: &mut String, shown: fn(&str) -> bool, repaired: &mut Repaired) {
    mend(clean, 0, 0, shown, &mut { MAX_WORK }, repaired);
}

/// Parts that can be read alone: each begins with a key at the first column.
fn sections(text: &str) -> Vec<Range<usize>> {
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with('#') && *line != "---");
    if first.is_none_or(|line| line.starts_with(['{', '[', '-', ' ', '\t'])) {
        return std::iter::once(0..text.len()).collect();
    }
    let mut out = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        let head = line.starts_with(|c: char| c.is_alphanumeric() || "\"'_".contains(c));
        if head && at > start {
            out.push(start..at);
            start = at;
        }
        at += line.len();
    }
    out.push(start..text.len());
    out
}

/// Reads a section until nothing in it is broken.
fn mend(
    clean: &mut String,
    base: usize,
    whole: usize,
    shown: fn(&str) -> bool,
    work: &mut usize,
    repaired: &mut Repaired,
) {
    // How often a line, by where it begins, had to be looked at.
    let mut tries: BTreeMap<usize, u8> = BTreeMap::new();
    loop {
        let built = build(clean, base, &repaired.lost);
        let (at, info) = match (built.stop, built.root.map(|root| root.value)) {
            (Some(Stop::Syntax { at, info }), _) => (at, info),
            // A line without a colon is a text when it stands alone.
            (None, Some(Value::Scalar(_))) if clean.len() < whole => (base, "a key was expected".to_owned()),
            _ => return,
        };
        // What names a part of another section is known only when the whole is read.
        if info.contains("unknown anchor") && clean.len() < whole {
            return;
        }
        let exhausted = *work < clean.len() || repaired.faults.len() >= MAX_ERRORS;
        *work = work.saturating_sub(clean.len());
        let explained = explain::explain(clean, at.saturating_sub(base), &info, shown);
        let tried = tries.entry(explained.line.start).or_insert(0);
        *tried += 1;
        let (tried, seen) = (*tried, *tried > 1);
        let fault = explained.fault(base);
        if exhausted {
            repaired.more += usize::from(!seen);
            take_out_rest(clean, 0, repaired);
            return;
        }
        if !seen {
            repaired.faults.push(fault);
        }
        match (tried, explained.extent) {
            (1, Extent::Value) => take_out_value(clean, &explained, base, repaired),
            (1 | 2, _) => take_out_line(clean, &explained, base, repaired),
            _ => take_out_rest(clean, explained.line.start, repaired),
        }
    }
}

/// Keeps the key, so that its absence is no second mistake.
fn take_out_value(clean: &mut String, explained: &Explained, base: usize, repaired: &mut Repaired) {
    let at = &explained.line;
    let Some((key, rest)) = with_line(clean, at, |line| {
        let key = line.key.clone()?;
        Some((key.clone(), key.end + 1..line.range.end))
    }) else {
        return take_out_line(clean, explained, base, repaired);
    };
    let below = deeper(clean, at.end, column_of(clean, key.start));
    repaired.lost.insert(base + key.start);
    blank(clean, rest.start.min(rest.end)..rest.end);
    blank(clean, below);
}

/// Takes out what the line says and all that hangs on it; its dashes stay.
fn take_out_line(clean: &mut String, explained: &Explained, base: usize, repaired: &mut Repaired) {
    let at = &explained.line;
    let column = with_line(clean, at, |line| Some(line.column())).unwrap_or(0);
    let again = repaired.lost.contains(&(base + at.start + column));
    let from = if again { 0 } else { column };
    let below = deeper(clean, at.end, explained.column);
    remember(clean, at.start..below.end, repaired);
    blank(clean, (at.start + from).min(at.end)..at.end);
    blank(clean, below);
}

fn take_out_rest(clean: &mut String, from: usize, repaired: &mut Repaired) {
    remember(clean, from..clean.len(), repaired);
    blank(clean, from..clean.len());
}

fn with_line<T>(clean: &str, at: &Range<usize>, read: impl Fn(&Line<'_>) -> Option<T>) -> Option<T> {
    let text = clean.get(at.clone())?;
    let line = lines(text).into_iter().next()?;
    let shifted = Line {
        range: at.clone(),
        key: line.key.map(|key| at.start + key.start..at.start + key.end),
        value: at.start + line.value.start..at.start + line.value.end,
        ..line
    };
    read(&shifted)
}

fn column_of(clean: &str, byte: usize) -> usize {
    let before = clean.get(..byte).unwrap_or_default();
    before.len() - before.rfind('\n').map_or(0, |at| at + 1)
}

/// The lines after byte `from` that are blank or begin deeper than `column`.
fn deeper(clean: &str, from: usize, column: usize) -> Range<usize> {
    let tail = clean.get(from..).unwrap_or_default();
    let start = from + tail.find('\n').map_or(tail.len(), |at| at + 1);
    let mut end = start;
    for line in clean.get(start..).unwrap_or_default().split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        if indent <= column && !line.trim().is_empty() {
            break;
        }
        end += line.len();
    }
    start..end
}

/// The names of keys that go: their absence must not be reported.
fn remember(clean: &str, range: Range<usize>, repaired: &mut Repaired) {
    for line in clean.get(range).unwrap_or_default().lines() {
        let words = line.trim_start_matches([' ', '-', '\t']);
        let name = words.split([':', ' ', '=']).next().unwrap_or_default();
        if !name.is_empty() {
            repaired.broken.keys.insert(name.trim_matches(['"', '\'']).to_owned());
        }
    }
}

/// Overwrites a range with spaces, keeping its newlines and its length.
fn blank(text: &mut String, range: Range<usize>) {
    let Some(old) = text.get(range.clone()) else { return };
    let spaces: String = old.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect();
    text.replace_range(range, &spaces);
}
