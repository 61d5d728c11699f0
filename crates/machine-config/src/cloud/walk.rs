//! The walk through a cloud-config: each key gets one verdict, what is honoured is put into a draft.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value as Json;

use super::draft::Draft;
use super::topics::{Field, Fields, TOPICS, Topic, Treatment};
use crate::check::{Fate, Finding, Findings, check_string, nearest};
use crate::diagnostic::Code;
use crate::schema::Rule;
use crate::secret::SecretValues;
use crate::syntax::Broken;
use crate::yaml::{Entry, Map, Node, Value};

/// Everything a walk finds.
pub(crate) struct Walk {
    pub(crate) findings: Findings,
    /// By the offset at which the key stands.
    pub(crate) fates: BTreeMap<usize, Fate>,
    /// Values that must not be shown.
    pub(crate) hidden: Vec<Range<usize>>,
    pub(crate) secrets: SecretValues,
    pub(super) draft: Draft,
    broken: Broken,
}

impl Walk {
    pub(super) fn new(broken: Broken) -> Self {
        Self {
            findings: Findings::default(),
            fates: BTreeMap::new(),
            hidden: Vec::new(),
            secrets: SecretValues::default(),
            draft: Draft::default(),
            broken,
        }
    }

    /// Walks the keys at the top.
    pub(super) fn root(&mut self, map: &Map<'_>) {
        for entry in &map.entries {
            if entry.repeated {
                self.settle(entry, Fate::Refused);
                continue;
            }
            let topic = TOPICS.iter().find(|topic| topic.key == entry.key);
            match topic.map(|topic| topic.treatment) {
                _ if entry.key.starts_with("x-") => self.settle(entry, Fate::Ignored),
                // What cannot be read has been reported.
                Some(Treatment::Honoured(..) | Treatment::RefusedFor(..)) if entry.value.value == Value::Lost => {
                    self.settle(entry, Fate::Refused);
                }
                Some(Treatment::Honoured(read, _)) => {
                    self.fates.insert(entry.at.start, Fate::Honoured);
                    read(self, entry);
                }
                Some(Treatment::RefusedFor(read, ..)) => read(self, entry),
                Some(Treatment::Noted(why)) => self.note(entry, &entry.key, why),
                Some(Treatment::Refused(why, cure)) => self.refuse(entry, &entry.key, why, cure),
                None => self.unknown(entry, "", TOPICS.iter().map(|topic| topic.key)),
            }
        }
    }

    /// Gives every name of a map its verdict, and those that are to be read back.
    pub(super) fn fields<'n, 'd>(
        &mut self,
        map: &'n Map<'d>,
        fields: Fields,
        path: &str,
    ) -> BTreeMap<&'static str, &'n Entry<'d>> {
        let mut out = BTreeMap::new();
        for entry in &map.entries {
            if entry.repeated {
                self.settle(entry, Fate::Refused);
                continue;
            }
            // Older documents write the names with hyphens.
            let name = entry.key.replace('-', "_");
            let shown = format!("{path}.{}", entry.key);
            match fields.iter().find(|(field, _)| *field == name) {
                Some((name, Field::Read)) if entry.value.value != Value::Lost => {
                    self.fates.insert(entry.at.start, Fate::Honoured);
                    out.insert(*name, entry);
                }
                Some((name, Field::Read)) => {
                    self.broken.keys.insert((*name).to_owned());
                    self.settle(entry, Fate::Refused);
                }
                Some((_, Field::Noted(why))) => self.note(entry, &shown, why),
                Some((_, Field::Refused(why, cure))) => self.refuse(entry, &shown, why, cure),
                None => self.unknown(entry, path, fields.iter().map(|(name, _)| *name)),
            }
        }
        out
    }

    /// Whether the absence of a key may come from a line that could not be read.
    pub(super) fn may_be_lost(&self, key: &str) -> bool {
        self.broken.may_hold(key)
    }

    /// Whether some lines could not be read.
    pub(super) fn has_lost_lines(&self) -> bool {
        self.broken.tables || !self.broken.keys.is_empty()
    }

    /// Has no effect, and the document is accepted.
    pub(super) fn note(&mut self, entry: &Entry<'_>, path: &str, why: &str) {
        self.settle(entry, Fate::Noted);
        let message = format!("`{}` has no effect here: {why}", entry.key);
        self.findings
            .push(Finding::warning(Code::NoEffect, entry.at.clone(), path, message));
    }

    /// Cannot be done, which refuses the document.
    pub(super) fn refuse(&mut self, entry: &Entry<'_>, path: &str, why: &str, cure: &str) {
        self.settle(entry, Fate::Refused);
        let message = format!("`{}`: {why}", entry.key);
        self.error(Code::Unsupported, entry.at.clone(), path, message, cure);
    }

    fn unknown(&mut self, entry: &Entry<'_>, path: &str, known: impl Iterator<Item = &'static str>) {
        self.settle(entry, Fate::Refused);
        let near = nearest(&entry.key, known);
        let elsewhere = || {
            TOPICS
                .iter()
                .map(|topic: &Topic| topic.key)
                .find(|key| *key == entry.key)
        };
        let cure = match (near, elsewhere()) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(key)) => format!("`{key}` stands at the top of the document"),
            (None, None) => "leave it out".to_owned(),
        };
        let (place, shown) = match path {
            "" => ("at the top of a cloud-config".to_owned(), entry.key.to_string()),
            path => (format!("in `{path}`"), format!("{path}.{}", entry.key)),
        };
        let message = format!("there is no key {:?} {place}", entry.key);
        self.error(Code::UnknownKey, entry.at.clone(), &shown, message, &cure);
    }

    pub(super) fn error(&mut self, code: Code, at: Range<usize>, path: &str, message: impl Into<String>, cure: &str) {
        self.findings.push(Finding::error(code, at, path, message).cure(cure));
    }

    /// Marks a key and all below it; whatever is not read may be a secret.
    pub(super) fn settle(&mut self, entry: &Entry<'_>, fate: Fate) {
        self.fates.insert(entry.at.start, fate);
        self.settle_inside(&entry.value, fate);
    }

    pub(super) fn settle_inside(&mut self, node: &Node<'_>, fate: Fate) {
        match &node.value {
            Value::Map(map) => map.entries.iter().for_each(|entry| self.settle(entry, fate)),
            Value::List(list) => list.iter().for_each(|node| self.settle_inside(node, fate)),
            Value::Scalar(_) if fate != Fate::Honoured => self.hidden.push(node.span.clone()),
            _ => {}
        }
    }

    /// A value of another type than is wanted.
    pub(super) fn wrong(&mut self, node: &Node<'_>, path: &str, wanted: &str) {
        self.settle_inside(node, Fate::Refused);
        // Where lines were taken out, nothing may be left of what stood there.
        if node.value == Value::Lost || (node.value == Value::Null && self.has_lost_lines()) {
            return;
        }
        let cure = match (&node.value, wanted) {
            (Value::Null, _) => "write a value, or leave the key out",
            (Value::Scalar(_), "a text") => "put it between quotes",
            (Value::List(_), "a text") => "write one text, not a list",
            (_, "yes or no") => "write `true` or `false`",
            (Value::Map(_), "a text") => {
                "write one text; `{{ … }}` of a template is not filled in, and needs quotes to stand as it is"
            }
            (_, wanted) if wanted.starts_with("a map") => "write `KEY: VALUE` on a line of its own for each key",
            (_, wanted) if wanted.starts_with("a list") => "write a list: a line `- …` for each entry",
            (_, wanted) if wanted.starts_with("a number") => "write digits",
            _ => "write one text",
        };
        let message = format!("this is {}, `{path}` is {wanted}", node.article());
        self.error(Code::WrongType, node.span.clone(), path, message, cure);
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node<'_>, path: &str) -> Option<&'n str> {
        let text = node.text();
        if text.is_none() {
            self.wrong(node, path, "a text");
        }
        text
    }

    pub(super) fn flag(&mut self, node: &Node<'_>, path: &str) -> Option<bool> {
        let flag = node.flag();
        if flag.is_none() {
            self.wrong(node, path, "yes or no");
        }
        flag
    }

    /// The map that stands there.
    pub(super) fn map<'n, 'd>(&mut self, node: &'n Node<'d>, path: &str) -> Option<&'n Map<'d>> {
        let map = node.map();
        if map.is_none() {
            self.wrong(node, path, "a map of keys and values");
        }
        map
    }

    /// The entries of a list, or the one value that stands in its place.
    pub(super) fn items<'n, 'd>(&mut self, node: &'n Node<'d>, path: &str) -> &'n [Node<'d>] {
        match &node.value {
            Value::List(list) => list,
            Value::Scalar(_) => std::slice::from_ref(node),
            _ => {
                self.wrong(node, path, "a list");
                &[]
            }
        }
    }

    /// A text that satisfies a rule, as `machine.json` has it.
    pub(super) fn checked(&mut self, rule: Rule, node: &Node<'_>, path: &str) -> Option<Json> {
        let text = self.text(node, path)?.trim_end_matches('\n').to_owned();
        self.checked_text(rule, &text, &node.span, path)
    }

    pub(super) fn checked_text(&mut self, rule: Rule, text: &str, at: &Range<usize>, path: &str) -> Option<Json> {
        match check_string(rule, text) {
            Ok(json) => Some(json),
            Err((code, error)) => {
                if code == Code::Insecure {
                    self.hidden.push(at.clone());
                }
                self.error(code, at.clone(), path, error.problem, &error.cure);
                None
            }
        }
    }
}
