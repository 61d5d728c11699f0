//! The tree of a YAML text, with places; and what a scalar means where a text, a number or a yes-or-no is expected.
//!
//! A plain scalar has no type of its own here: it keeps its characters, and whoever knows what is expected reads it.
//! So `0644` is a mode where a mode is expected, and `1.10` stays what was written where a text is.

use std::borrow::Cow;
use std::ops::Range;

/// A value and the bytes of the document it stands at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node<'d> {
    pub(crate) span: Range<usize>,
    pub(crate) value: Value<'d>,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'d> {
    /// Nothing, `~` or `null`.
    Null,
    /// A value was here that could not be read and has been reported.
    Lost,
    Scalar(Scalar<'d>),
    List(Vec<Node<'d>>),
    Map(Map<'d>),
}

/// A text as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scalar<'d> {
    pub(crate) text: Cow<'d, str>,
    pub(crate) style: Style,
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Without quotes: it may be meant as a number or a yes-or-no.
    Plain,
    /// In quotes, as a block, or with the tag `!!str`: a text.
    Text,
    /// With the tag `!!binary`: base64.
    Binary,
}

/// Keys and values in the order of the document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Map<'d> {
    pub(crate) entries: Vec<Entry<'d>>,
}

/// One key of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<'d> {
    pub(crate) key: Cow<'d, str>,
    pub(crate) at: Range<usize>,
    pub(crate) value: Node<'d>,
    /// A second definition, already reported: [`Map::get`] does not give it.
    pub(crate) repeated: bool,
}

impl<'d> Map<'d> {
    /// The first entry of this name.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry<'d>> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

impl<'d> Node<'d> {
    /// The map, if it is one.
    pub(crate) fn map(&self) -> Option<&Map<'d>> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub(crate) fn list(&self) -> Option<&[Node<'d>]> {
        match &self.value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// The scalar, if it is one.
    pub(crate) fn scalar(&self) -> Option<&Scalar<'d>> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The text, if it is one: a number counts as the characters it is written with, a plain yes-or-no does not count.
    pub(crate) fn text(&self) -> Option<&str> {
        let scalar = self.scalar()?;
        let ambiguous = scalar.style == Style::Plain && as_flag(&scalar.text).is_some();
        (!ambiguous).then_some(&scalar.text)
    }

    /// A yes-or-no in any of YAML 1.1's words, quoted or not.
    pub(crate) fn flag(&self) -> Option<bool> {
        as_flag(&self.scalar()?.text)
    }

    /// A whole number: decimal, `0x…`, `0o…`, or octal with a leading zero as in YAML 1.1.
    pub(crate) fn integer(&self) -> Option<i64> {
        let scalar = self.scalar().filter(|scalar| scalar.style == Style::Plain)?;
        as_integer(&scalar.text)
    }

    /// What it is, for a sentence: "a list", "a whole number".
    pub(crate) fn article(&self) -> &'static str {
        match &self.value {
            Value::Null | Value::Lost => "nothing",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Scalar(scalar) if scalar.style != Style::Plain => "a text",
            Value::Scalar(scalar) if as_flag(&scalar.text).is_some() => "a yes-or-no",
            Value::Scalar(scalar) if as_integer(&scalar.text).is_some() => "a whole number",
            Value::Scalar(_) => "a text",
        }
    }
}

/// YAML 1.1's booleans as cloud-init's reader knows them: not `y` and `n`.
fn as_flag(text: &str) -> Option<bool> {
    const WORDS: [(&str, bool); 6] = [
        ("true", true),
        ("false", false),
        ("yes", true),
        ("no", false),
        ("on", true),
        ("off", false),
    ];
    let lower = text.len() <= 5 && {
        let rest = text.get(1..).unwrap_or_default();
        rest.bytes().all(|b| b.is_ascii_lowercase()) || text.bytes().all(|b| b.is_ascii_uppercase())
    };
    let word = WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    word.filter(|_| lower).map(|(_, value)| *value)
}

fn as_integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (if text.starts_with('-') { -1 } else { 1 }, rest),
        None => (1, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, digits.get(2..)?),
        [b'0', b'o', ..] => (8, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| i64::from_str_radix(digits, radix).ok().map(|n| n * sign))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_yes_or_no_as_yaml_1_1_does() {
        for (text, flag) in [
            ("yes", Some(true)),
            ("No", Some(false)),
            ("ON", Some(true)),
            ("off", Some(false)),
            ("True", Some(true)),
            ("tRue", None),
            ("y", None),
            ("1", None),
        ] {
            assert_eq!(as_flag(text), flag, "{text}");
        }
    }

    #[test]
    fn reads_whole_numbers() {
        for (text, number) in [
            ("1500", Some(1500)),
            ("-1", Some(-1)),
            ("0644", Some(0o644)),
            ("0o644", Some(0o644)),
            ("0x1F", Some(31)),
            ("0", Some(0)),
            ("0899", None),
            ("1.5", None),
            ("", None),
            ("+-1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(as_integer(text), number, "{text}");
        }
    }
}
