//! From text to a table with spans, all syntax errors in one go.
//!
//! A text that parses costs one pass. Otherwise each statement is looked at alone, broken ones are taken out (their
//! places stay), and what is left is parsed, so that the mistakes in it are found as well.

mod explain;
mod statement;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

use explain::Explained;
use statement::{Shape, Statement, statements};

use crate::check::nearest;
use crate::diagnostic::{Code, MAX_ERRORS};
use crate::schema::{self, KEYS, Key};

/// A text that parses, and what had to be done to it.
pub(crate) struct Repaired<'a> {
    /// The text without its broken statements.
    pub(crate) clean: Cow<'a, str>,
    /// Offsets in `clean` of bytes that the document does not have.
    pub(crate) inserted: Vec<usize>,
    /// The mistakes, with ranges of the document.
    pub(crate) faults: Vec<Fault>,
    /// Mistakes beyond the listed ones, and their statements, which must not be shown.
    pub(crate) more: usize,
    pub(crate) hidden: Vec<Range<usize>>,
    /// What is known about the statements that were taken out.
    pub(crate) broken: Broken,
}

/// A mistake of syntax.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) range: Range<usize>,
    /// Where a key that is defined twice was defined first, if that is known.
    pub(crate) first: Option<Range<usize>>,
    pub(crate) message: String,
    pub(crate) cure: Option<String>,
    /// Bytes of the document that must not be shown with it.
    pub(crate) hidden: Range<usize>,
}

/// What was taken out: its absence must not be reported a second time.
#[derive(Debug, Default)]
pub(crate) struct Broken {
    /// Last components of keys.
    pub(crate) keys: BTreeSet<String>,
    /// Whether the name of a table was lost.
    pub(crate) tables: bool,
}

impl Broken {
    /// Whether the absence of `key` may come from a statement that was taken out.
    pub(crate) fn may_hold(&self, key: &str) -> bool {
        self.tables || self.keys.contains(key)
    }
}

/// The tree of a text without mistakes of syntax.
pub(crate) fn parse_whole(text: &str) -> Option<Spanned<DeTable<'_>>> {
    DeTable::parse(text).ok()
}

/// Finds the syntax errors of `text` and gives the text that is left without them.
pub(crate) fn repair(text: &str) -> Repaired<'_> {
    let mut repaired = Repaired {
        clean: Cow::Borrowed(text),
        inserted: Vec::new(),
        faults: Vec::new(),
        more: 0,
        hidden: Vec::new(),
        broken: Broken::default(),
    };
    let mut clean = text.to_owned();
    let mut missing_brackets: Vec<(usize, &str)> = Vec::new();
    let mut lost_table = false;
    for Statement { range, shape } in statements(text) {
        let body = text.get(range.clone()).unwrap_or_default();
        let explained = explain::explain(body, shape);
        if explained.is_some() && repaired.faults.len() >= MAX_ERRORS {
            repaired.more += 1;
            repaired.hidden.push(range.clone());
        } else if let Some(Explained { at, message, cure, .. }) = &explained {
            repaired.faults.push(Fault {
                code: Code::Syntax,
                range: range.start + at.start..range.start + at.end,
                first: None,
                message: message.clone(),
                cure: cure.clone(),
                hidden: match shape {
                    Shape::Header => 0..0,
                    Shape::Pair => range.start + shown_length(body)..range.end,
                },
            });
        }
        match (shape, &explained) {
            (Shape::Header, None) => lost_table = false,
            (
                Shape::Header,
                Some(Explained {
                    closing: Some(closing), ..
                }),
            ) => {
                lost_table = false;
                missing_brackets.push((range.end, closing));
            }
            (Shape::Header, Some(_)) => {
                lost_table = true;
                repaired.broken.tables = true;
                blank(&mut clean, range);
            }
            (Shape::Pair, Some(_)) => {
                repaired.broken.keys.extend(key_name(body));
                blank(&mut clean, range);
            }
            (Shape::Pair, None) if lost_table => blank(&mut clean, range),
            (Shape::Pair, None) => {}
        }
    }
    repaired.clean = Cow::Owned(with_brackets(&clean, &missing_brackets));
    let mut shift = 0;
    for (at, closing) in missing_brackets {
        repaired.inserted.extend((0..closing.len()).map(|i| at + shift + i));
        shift += closing.len();
    }
    repaired
}

/// The text with each closing bracket at its offset, which ascend.
fn with_brackets(text: &str, missing: &[(usize, &str)]) -> String {
    let mut out = String::with_capacity(text.len() + 2 * missing.len());
    let mut from = 0;
    for (at, closing) in missing {
        out.push_str(text.get(from..*at).unwrap_or_default());
        out.push_str(closing);
        from = *at;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

/// How much of a broken statement may be shown. Who knows what its text was meant to be: it may have been the middle of
/// a secret. All of it when its key is one whose value is harmless, the key alone when it resembles one, else nothing.
fn shown_length(statement: &str) -> usize {
    let Some(name) = key_name(statement) else { return 0 };
    if schema::is_harmless(&name) {
        return statement.len();
    }
    let near = nearest(&name, KEYS.iter().map(Key::leaf)).is_some();
    if near {
        statement.find(name.as_str()).map_or(0, |at| at + name.len())
    } else {
        0
    }
}

/// The last component of the key that a statement sets.
fn key_name(statement: &str) -> Option<String> {
    let key = statement.split(['=', ':', '\n', ' ']).next()?.trim();
    let last = key.rsplit('.').next()?.trim_matches(['"', '\'']);
    Some(last.to_owned())
}

/// Overwrites a range with spaces, keeping its newlines and its length.
fn blank(text: &mut String, range: Range<usize>) {
    let Some(old) = text.get(range.clone()) else { return };
    let spaces: String = old.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect();
    text.replace_range(range, &spaces);
}

/// Mistakes of the whole that are put into words; those beyond are too many to be listed.
const MAX_LOOKED_AT: usize = 4 * MAX_ERRORS;

/// Parses the text that [`repair`] left. The faults have ranges of `clean`: keys defined twice, and whatever else
/// only shows in the whole.
pub(crate) fn parse(clean: &str) -> (Spanned<DeTable<'_>>, Vec<Fault>) {
    let (root, mut errors) = DeTable::parse_recoverable(clean);
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    let faults = errors.into_iter().enumerate().map(|(index, error)| {
        let range = error.span().unwrap_or(0..0);
        if index >= MAX_LOOKED_AT {
            return Fault {
                code: Code::DuplicateKey,
                hidden: range.clone(),
                range,
                first: None,
                message: String::new(),
                cure: None,
            };
        }
        let name = clean.get(range.clone()).unwrap_or_default();
        if error.message().starts_with("duplicate key") {
            let message = format!("{name:?} is defined a second time");
            let cure = Some("merge the two definitions".to_owned());
            let line = clean
                .get(range.start..)
                .and_then(|rest| rest.lines().next())
                .unwrap_or_default();
            let before = clean.get(..range.start).and_then(|before| before.rsplit('\n').next());
            let in_header = before.is_some_and(|before| before.trim_start().starts_with('['));
            let shown = if in_header { line.len() } else { shown_length(line) };
            return Fault {
                hidden: range.start + shown..range.start + line.len(),
                code: Code::DuplicateKey,
                range,
                first: None,
                message,
                cure,
            };
        }
        Fault {
            code: Code::Syntax,
            range,
            first: None,
            message: error.message().to_owned(),
            cure: Some("write `KEY = VALUE` on a line of its own, below the `[NAME]` of its table".to_owned()),
            hidden: 0..0,
        }
    });
    (root, faults.collect())
}
