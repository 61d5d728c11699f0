//! Walks the document beside the key table: every key is honoured, refused or ignored by definition, and what is
//! honoured becomes the JSON of `machine.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::at::{At, dotted};
use super::nearest::{meant, nearest};
use super::sink::{Finding, Findings};
use super::string;
use super::wording::{article, cure_for, wanted};
use crate::diagnostic::Code;
use crate::schema::{self, Key, Kind, Presence, Rule};
use crate::secret::{Secret, SecretValues};
use crate::syntax::Broken;
use crate::value::Name;

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its value was read.
    Honoured,
    /// It or a table around it was refused.
    Refused,
    /// It stands in a table `x-…`.
    Ignored,
    /// It has no effect here, which the report says.
    Noted,
}

/// Everything a walk finds.
pub(crate) struct Walk<'b> {
    broken: &'b Broken,
    pub(crate) findings: Findings,
    /// By the offset at which the key stands.
    pub(crate) fates: BTreeMap<usize, Fate>,
    pub(crate) secrets: SecretValues,
    /// Values that must not be shown.
    pub(crate) hidden: Vec<Range<usize>>,
}

impl<'b> Walk<'b> {
    pub(crate) fn new(broken: &'b Broken) -> Self {
        Self {
            broken,
            findings: Findings::default(),
            fates: BTreeMap::new(),
            secrets: SecretValues::default(),
            hidden: Vec::new(),
        }
    }

    /// Walks a whole document.
    pub(crate) fn root(&mut self, root: &DeTable<'_>) -> Json {
        Json::Object(self.table(root, &(0..0), &At::ROOT))
    }

    /// Hides every value: nothing is known about which are secret.
    pub(crate) fn hide_all(&mut self, root: &DeTable<'_>) {
        for (key, value) in root {
            self.settle(key.span(), value, Fate::Refused);
            if key.get_ref() != "schema" {
                self.hide_leaves(value);
            }
        }
    }

    fn table(&mut self, table: &DeTable<'_>, span: &Range<usize>, at: &At<'_>) -> Map<String, Json> {
        let mut out = Map::new();
        for (key, value) in table {
            let name: &str = key.get_ref();
            match schema::child(at.pattern, name) {
                None if at.is_root() && name.starts_with("x-") => {
                    self.settle(key.span(), value, Fate::Ignored);
                }
                Some(row) => {
                    self.fates.insert(key.span().start, Fate::Honoured);
                    if let Some(json) = self.value(row, value, &at.child(row, name)) {
                        out.insert(name.to_owned(), json);
                    }
                }
                None => self.unknown_key(key, value, at),
            }
        }
        for row in schema::children(at.pattern).filter(|row| row.presence == Presence::Required) {
            let there = table.keys().any(|key| key.get_ref() == row.leaf());
            if !there && !self.broken.may_hold(row.leaf()) {
                self.missing_key(row, span, at);
            }
        }
        out
    }

    fn unknown_key(&mut self, key: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>, at: &At<'_>) {
        let name: &str = key.get_ref();
        // The mistakes inside a misspelt table are worth knowing too.
        let tables = |row: &&Key| matches!(row.kind, Kind::Table | Kind::Map(_) | Kind::Tables);
        let holds = matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_));
        let row = holds.then(|| meant(at.pattern, name)).flatten();
        if let Some(row) = row.filter(tables) {
            self.value(row, value, &at.child(row, name));
        }
        self.settle(key.span(), value, Fate::Refused);
        self.hide_leaves(value);
        let mut path = at.path();
        path.push(name.to_owned());
        let place = if at.is_root() {
            "at the top".to_owned()
        } else {
            format!("in `{}`", at.shown())
        };
        let mut message = format!("there is no key {name:?} {place}");
        let mut unknown = Some((at.pattern, name.to_owned()));
        let mut cure = "";
        if at.pattern == "volume.*" {
            message = "a volume has no keys".to_owned();
            (unknown, cure) = (None, "leave the table empty");
        }
        let finding = Finding::error(Code::UnknownKey, key.span(), &dotted(&path), message);
        self.findings.push(Finding {
            unknown,
            ..finding.cure(cure)
        });
    }

    fn missing_key(&mut self, row: &Key, span: &Range<usize>, at: &At<'_>) {
        let path = at.child(row, row.leaf()).shown();
        let (message, cure) = match at.is_root() {
            true => (
                format!("`{}` is missing", row.leaf()),
                "begin the document with `schema = 1`".to_owned(),
            ),
            false => (
                format!("`{}` has no `{}`", at.shown(), row.leaf()),
                format!("add `{} = …`", row.leaf()),
            ),
        };
        self.findings
            .push(Finding::error(Code::MissingKey, span.clone(), &path, message).cure(cure));
    }

    /// Marks a key and all below it.
    fn settle(&mut self, key: Range<usize>, value: &Spanned<DeValue<'_>>, fate: Fate) {
        self.fates.insert(key.start, fate);
        match value.get_ref() {
            DeValue::Table(table) => {
                table
                    .iter()
                    .for_each(|(key, value)| self.settle(key.span(), value, fate));
            }
            DeValue::Array(array) => array.iter().for_each(|value| self.settle_inside(value, fate)),
            _ => {}
        }
    }

    fn settle_inside(&mut self, value: &Spanned<DeValue<'_>>, fate: Fate) {
        match value.get_ref() {
            DeValue::Table(table) => {
                table
                    .iter()
                    .for_each(|(key, value)| self.settle(key.span(), value, fate));
            }
            DeValue::Array(array) => array.iter().for_each(|value| self.settle_inside(value, fate)),
            _ => {}
        }
    }

    fn hide_leaves(&mut self, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => table.values().for_each(|value| self.hide_leaves(value)),
            DeValue::Array(array) => array.iter().for_each(|value| self.hide_leaves(value)),
            _ => self.hidden.push(value.span()),
        }
    }

    fn value(&mut self, row: &Key, value: &Spanned<DeValue<'_>>, at: &At<'_>) -> Option<Json> {
        let span = value.span();
        match (row.kind, value.get_ref()) {
            (Kind::Table, DeValue::Table(table)) => Some(Json::Object(self.table(table, &span, at))),
            (Kind::Map(rule), DeValue::Table(table)) => Some(self.map(row, rule, table, at)),
            (Kind::Tables, DeValue::Array(array)) => Some(self.tables(row, array, at)),
            (Kind::Text(rule), DeValue::String(text)) => self.text(rule, text, &span, at),
            (Kind::Texts(rule), DeValue::Array(array)) => {
                self.texts(row, array, at, |walk, text, span, at| walk.text(rule, text, span, at))
            }
            (Kind::Word(words), DeValue::String(text)) => self.word(words, text, &span, at),
            (Kind::Words(words), DeValue::Array(array)) => {
                self.texts(row, array, at, |walk, text, span, at| walk.word(words, text, span, at))
            }
            (Kind::Flag, DeValue::Boolean(flag)) => Some(Json::Bool(*flag)),
            (Kind::Integer(min, max), DeValue::Integer(number)) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
                self.integer(parsed, (min, max), &span, at)
            }
            (Kind::Processors, DeValue::Integer(number)) if number.radix() == 10 => {
                self.processors(number.as_str(), &span, at)
            }
            (Kind::Processors, DeValue::Float(number)) => self.processors(number.as_str(), &span, at),
            (Kind::TextOrSecret, DeValue::String(text)) => self.text_or_secret(row, text, &span, at),
            (Kind::TextOrSecret, DeValue::Table(table)) => self.secret_ref(table, &span, at),
            (Kind::SecretText, DeValue::String(text)) => {
                self.secret_value(text, &span, at);
                None
            }
            _ => {
                self.wrong_type(row, value, at);
                None
            }
        }
    }

    fn map(&mut self, row: &Key, rule: Rule, table: &DeTable<'_>, at: &At<'_>) -> Json {
        let mut out = Map::new();
        for (key, value) in table {
            let name: &str = key.get_ref();
            if let Err((code, error)) = string::check(rule, name) {
                let path = dotted(&[at.path(), vec![name.to_owned()]].concat());
                let finding = Finding::error(code, key.span(), &path, error.problem).cure(error.cure);
                self.findings.push(finding);
            }
            self.fates.insert(key.span().start, Fate::Honoured);
            let Some(below) = schema::child(row.path, name) else {
                continue;
            };
            if let Some(json) = self.value(below, value, &at.child(below, name)) {
                out.insert(name.to_owned(), json);
            }
        }
        Json::Object(out)
    }

    fn tables(&mut self, row: &Key, array: &DeArray<'_>, at: &At<'_>) -> Json {
        let mut out = Vec::new();
        for (index, value) in array.iter().enumerate() {
            match value.get_ref() {
                DeValue::Table(table) => {
                    out.push(Json::Object(self.table(table, &value.span(), &at.element(index))));
                }
                _ => self.wrong_element(row, value, at),
            }
        }
        Json::Array(out)
    }

    fn texts(
        &mut self,
        row: &Key,
        array: &DeArray<'_>,
        at: &At<'_>,
        mut check: impl FnMut(&mut Self, &str, &Range<usize>, &At<'_>) -> Option<Json>,
    ) -> Option<Json> {
        let mut out = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, value) in array.iter().enumerate() {
            match value.get_ref() {
                DeValue::String(text) => {
                    let json = check(self, text, &value.span(), &at.element(index));
                    let twice = json.as_ref().is_some_and(|json| !seen.insert(json.to_string()));
                    if twice && !matches!(row.kind, Kind::Texts(Rule::Free(_))) {
                        let finding = Finding::warning(
                            Code::Repeated,
                            value.span(),
                            &at.shown(),
                            "this entry stands here twice",
                        );
                        self.findings.push(finding.cure("leave one out"));
                        continue;
                    }
                    out.extend(json);
                }
                _ => self.wrong_element(row, value, at),
            }
        }
        Some(Json::Array(out))
    }

    fn text(&mut self, rule: Rule, text: &str, span: &Range<usize>, at: &At<'_>) -> Option<Json> {
        match string::check(rule, text) {
            Ok(json) => Some(json),
            Err((code, error)) => {
                if code == Code::Insecure {
                    self.hidden.push(span.clone());
                }
                self.findings
                    .push(Finding::error(code, span.clone(), &at.shown(), error.problem).cure(error.cure));
                None
            }
        }
    }

    fn word(&mut self, words: &[&str], text: &str, span: &Range<usize>, at: &At<'_>) -> Option<Json> {
        if words.contains(&text) {
            return Some(Json::String(text.to_owned()));
        }
        let all = words
            .iter()
            .map(|word| format!("{word:?}"))
            .collect::<Vec<_>>()
            .join(", ");
        let cure = match nearest(text, words.iter().copied()) {
            Some(near) => format!("did you mean {near:?}? Possible are {all}"),
            None => format!("possible are {all}"),
        };
        let message = format!("{text:?} is not possible here");
        self.findings
            .push(Finding::error(Code::BadWord, span.clone(), &at.shown(), message).cure(cure));
        None
    }

    fn integer(
        &mut self,
        number: Option<i64>,
        (min, max): (i64, i64),
        span: &Range<usize>,
        at: &At<'_>,
    ) -> Option<Json> {
        if let Some(number) = number.filter(|number| (min..=max).contains(number)) {
            return Some(Json::from(number));
        }
        let finding = Finding::error(
            Code::OutOfRange,
            span.clone(),
            &at.shown(),
            "the number is out of range",
        );
        self.findings.push(finding.cure(if min == max {
            format!("write {min}")
        } else {
            format!("write a number from {min} to {max}")
        }));
        None
    }

    fn processors(&mut self, text: &str, span: &Range<usize>, at: &At<'_>) -> Option<Json> {
        let cpus = text.parse().ok().and_then(crate::value::Cpus::from_f64);
        if let Some(cpus) = cpus.filter(|cpus| cpus.nano >= 1_000_000) {
            return Some(Json::from(cpus.nano));
        }
        let finding = Finding::error(
            Code::OutOfRange,
            span.clone(),
            &at.shown(),
            "this is no number of processors",
        );
        self.findings.push(finding.cure("write a number from 0.001 to 1024"));
        None
    }

    fn text_or_secret(&mut self, row: &Key, text: &str, span: &Range<usize>, at: &At<'_>) -> Option<Json> {
        if row.secret {
            self.hidden.push(span.clone());
        }
        let json = self.text(Rule::Free(131_072), text, span, at)?;
        if !row.secret {
            return Some(json);
        }
        let name = inline_secret_name(&at.path())?;
        let reference = serde_json::json!({ "secret": name.as_str() });
        self.secrets.0.insert(name, Secret::new(text.to_owned()));
        Some(reference)
    }

    fn secret_ref(&mut self, table: &DeTable<'_>, span: &Range<usize>, at: &At<'_>) -> Option<Json> {
        let mut name = None;
        for (key, value) in table {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("secret", DeValue::String(text)) => {
                    self.fates.insert(key.span().start, Fate::Honoured);
                    name = Some(text.to_string());
                }
                _ => {
                    self.settle(key.span(), value, Fate::Refused);
                    self.hide_leaves(value);
                    let message = "a reference to a secret has the one key `secret`";
                    let finding = Finding::error(Code::UnknownKey, key.span(), &at.shown(), message);
                    self.findings.push(finding.cure("write `{ secret = \"NAME\" }`"));
                }
            }
        }
        if name.is_none() && table.is_empty() {
            let finding = Finding::error(
                Code::MissingKey,
                span.clone(),
                &at.shown(),
                "the name of the secret is missing",
            );
            self.findings.push(finding.cure("write `{ secret = \"NAME\" }`"));
        }
        name.map(|name| serde_json::json!({ "secret": name }))
    }

    fn secret_value(&mut self, text: &str, span: &Range<usize>, at: &At<'_>) {
        self.hidden.push(span.clone());
        if self.text(Rule::Free(65536), text, span, at).is_none() {
            return;
        }
        let name = at.path().get(1).and_then(|name| name.parse::<Name>().ok());
        if let Some(name) = name {
            self.secrets.0.insert(name, Secret::new(text.to_owned()));
        }
    }

    fn wrong_element(&mut self, row: &Key, value: &Spanned<DeValue<'_>>, at: &At<'_>) {
        self.settle_inside(value, Fate::Refused);
        self.hide_if_secret(row, value);
        let wanted = if row.kind == Kind::Tables {
            "a table"
        } else {
            "a string"
        };
        let message = format!("this is {}, an entry of `{}` is {wanted}", article(value), at.shown());
        let cure = cure_for(wanted, value.get_ref());
        self.findings
            .push(Finding::error(Code::WrongType, value.span(), &at.shown(), message).cure(cure));
    }

    fn wrong_type(&mut self, row: &Key, value: &Spanned<DeValue<'_>>, at: &At<'_>) {
        self.settle_inside(value, Fate::Refused);
        self.hide_if_secret(row, value);
        let wanted = wanted(row.kind);
        let message = format!("this is {}, `{}` is {wanted}", article(value), at.shown());
        let cure = match row.kind {
            Kind::Table | Kind::Map(_) => format!("write a table `[{}]`", at.shown()),
            Kind::Tables if matches!(value.get_ref(), DeValue::Table(_)) => format!("write `[[{}]]`", at.shown()),
            _ => cure_for(wanted, value.get_ref()).to_owned(),
        };
        self.findings
            .push(Finding::error(Code::WrongType, value.span(), &at.shown(), message).cure(cure));
    }

    fn hide_if_secret(&mut self, row: &Key, value: &Spanned<DeValue<'_>>) {
        if schema::holds_secret(row) {
            self.hide_leaves(value);
        }
    }
}

/// The name under which a secret that is written in place is kept: its first two path components.
fn inline_secret_name(path: &[String]) -> Option<Name> {
    let (kind, owner) = (path.first()?, path.get(1)?);
    format!("{kind}-{owner}").replace(['[', ']'], "").parse().ok()
}
