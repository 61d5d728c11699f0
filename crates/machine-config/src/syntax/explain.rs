//! Says what is wrong with one statement, in words for someone who does not know TOML's grammar.
//!
//! Never quotes a value: it may be a secret.

use std::ops::Range;

use toml::de::DeTable;

use super::statement::Shape;

/// The first thing that is wrong with a statement.
pub(super) struct Explained {
    /// Bytes of the statement.
    pub(super) at: Range<usize>,
    pub(super) message: String,
    pub(super) cure: Option<String>,
    /// What to append so that a header can be understood nevertheless.
    pub(super) closing: Option<&'static str>,
}

/// `None` when the statement is good by itself.
pub(super) fn explain(statement: &str, shape: Shape) -> Option<Explained> {
    let (_, errors) = DeTable::parse_recoverable(statement);
    // The lowest offset: what follows is often a consequence.
    let first = errors
        .iter()
        .min_by_key(|error| error.span().map_or(usize::MAX, |span| span.start))?;
    let span = first.span().unwrap_or(0..statement.len());
    let (at, message, cure) = match shape {
        Shape::Header => return Some(explain_header(statement, span, first.message())),
        Shape::Pair => explain_pair(statement, span, first.message()),
    };
    Some(Explained {
        at,
        message,
        cure,
        closing: None,
    })
}

fn explain_header(statement: &str, span: Range<usize>, message: &str) -> Explained {
    let line = statement.trim_end();
    let double = line.starts_with("[[");
    let missing = match (double, line.ends_with("]]"), line.ends_with(']')) {
        (true, false, true) => Some("]"),
        (true, false, false) => Some("]]"),
        (false, _, false) => Some("]"),
        _ => None,
    };
    let closing = missing.filter(|missing| DeTable::parse(&format!("{line}{missing}")).is_ok());
    match closing {
        Some(closing) => Explained {
            at: 0..line.len(),
            message: "the name of this table is not closed".to_owned(),
            cure: Some(format!("write `{line}{closing}`")),
            closing: Some(closing),
        },
        None => Explained {
            at: if span.is_empty() { 0..line.len() } else { span },
            message: format!("this is not the name of a table: {message}"),
            cure: Some("write [NAME] or [[NAME]], and quote a name that holds other than a-z, 0-9, '-' and '_'".into()),
            closing: None,
        },
    }
}

type Explanation = (Range<usize>, String, Option<String>);

fn explain_pair(statement: &str, span: Range<usize>, message: &str) -> Explanation {
    let first_line = statement.lines().next().unwrap_or_default();
    let say = |at: Range<usize>, message: &str, cure: &str| (at, message.to_owned(), Some(cure.to_owned()));
    let Some(equals) = equals_sign(first_line) else {
        let whole = 0..first_line.trim_end().len();
        return if first_line.contains(':') {
            say(
                whole,
                "a key and its value are joined by '='",
                "write `KEY = VALUE`, not `KEY: VALUE`",
            )
        } else {
            say(
                whole,
                "this is neither a key with a value nor the name of a table",
                "write `KEY = VALUE`",
            )
        };
    };
    if first_line.get(..equals).unwrap_or_default().trim().is_empty() {
        return say(0..equals + 1, "the key is missing before '='", "write `KEY = VALUE`");
    }
    if span.start < equals {
        let key = 0..first_line.get(..equals).unwrap_or_default().trim_end().len();
        return say(
            key,
            "this is not a key",
            "quote a key that holds other than a-z, 0-9, '-' and '_'",
        );
    }
    let value_at = equals + 1 + blank_length(first_line.get(equals + 1..).unwrap_or_default());
    let value = first_line.get(value_at..).unwrap_or_default().trim_end();
    let value_span = value_at..value_at + value.len();
    if value.is_empty() {
        return say(0..equals + 1, "this key has no value", "write a value behind '='");
    }
    if let Some(cure) = bare_word(value) {
        return say(value_span, "text stands in quotes", cure);
    }
    explain_value(span, value_span, message)
}

/// Turns the parser's message about a value into ours.
fn explain_value(span: Range<usize>, value: Range<usize>, message: &str) -> Explanation {
    let table: [(&str, &str, &str); 10] = [
        (
            "multi-line basic string",
            "this text is not closed",
            "end it with \"\"\"",
        ),
        (
            "multi-line literal string",
            "this text is not closed",
            "end it with '''",
        ),
        (
            "invalid basic string",
            "this string is not closed",
            "end it with '\"'; text over several lines stands in \"\"\"",
        ),
        (
            "invalid literal string",
            "this string is not closed",
            "end it with \"'\"",
        ),
        ("unclosed array", "this list is not closed", "end it with ']'"),
        ("unclosed inline table", "this table is not closed", "end it with '}'"),
        (
            "missing comma between",
            "a comma is missing here",
            "separate entries by ','",
        ),
        (
            "leading zero",
            "a number has no leading zero",
            "leave the zero out, or quote what is meant as text",
        ),
        (
            "unexpected key or value",
            "something follows the value",
            "begin a new line for each key",
        ),
        (
            "must be quoted",
            "text stands in quotes",
            "put it between double quotes",
        ),
    ];
    let at = if span.is_empty() { value } else { span };
    match table.iter().find(|(part, ..)| message.contains(part)) {
        Some((_, ours, cure)) => (at, (*ours).to_owned(), Some((*cure).to_owned())),
        None => {
            let cure = "write text as \"…\", a list as [ … ] and a table as { KEY = VALUE }";
            (at, message.to_owned(), Some(cure.to_owned()))
        }
    }
}

/// Where the first `=` stands outside of quotes.
fn equals_sign(line: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, '=') => return Some(at),
            (None, '#') => return None,
            _ => {}
        }
    }
    None
}

fn blank_length(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// The cure when a value is a word without quotes.
fn bare_word(value: &str) -> Option<&'static str> {
    if !value.starts_with(|c: char| c.is_alphabetic() || "/~.$%@*".contains(c)) {
        return None;
    }
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some("write true"),
        "false" | "no" | "off" => Some("write false"),
        _ => Some("put it between double quotes"),
    }
}
