//! Walks a tree beside the tables of keys and keeps what is said, where it stands, and what became of each key.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::keys::{Section, Verdict};
use crate::Fate;
use crate::check::network::{Links, Places};
use crate::check::sink::{Finding, Findings};
use crate::check::string;
use crate::check::{known, nearest};
use crate::diagnostic::Code;
use crate::model::network::{Link, NameServers};
use crate::schema::Rule;
use crate::yaml::{Entry, Map, Node, Value};

/// Where the values of links stand, by the link and the path below it in the native document.
#[derive(Debug, Default)]
pub(super) struct Spots(HashMap<(String, String), (Range<usize>, String)>);

impl Spots {
    pub(super) fn at(&self, link: &str, path: &str) -> (Range<usize>, String) {
        let mut path = path;
        loop {
            if let Some(found) = self.0.get(&(link.to_owned(), path.to_owned())) {
                return found.clone();
            }
            // What has no place of its own stands where the table around it does.
            match path.rfind(['.', '[']) {
                Some(end) => path = path.get(..end).unwrap_or_default(),
                None if path.is_empty() => return (0..0, String::new()),
                None => path = "",
            }
        }
    }
}

impl Places for Spots {
    fn place(&self, link: &str, path: &str) -> (Range<usize>, String) {
        self.at(link, path)
    }
}

/// What has been read so far.
pub(super) struct Reader {
    pub(super) findings: Findings,
    pub(super) fates: BTreeMap<usize, Fate>,
    pub(super) links: Links,
    pub(super) dns: NameServers,
    pub(super) spots: Spots,
    /// Something could not be read: what is missing may have stood there.
    pub(super) broken: bool,
}

/// A map whose keys have been judged: the honoured ones.
pub(super) struct Fields<'n, 'd> {
    map: Option<&'n Map<'d>>,
    section: &'static Section,
    spelling: fn(&str) -> Cow<'_, str>,
    pub(super) span: Range<usize>,
    pub(super) at: String,
}

impl<'n, 'd> Fields<'n, 'd> {
    /// The value of a key that the section honours; not `null`, not lost.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node<'d>> {
        debug_assert!(
            self.section.row(key).is_some_and(|row| row.verdict.is_honoured()),
            "{key} has no row in {}",
            self.section.path
        );
        let same = |entry: &&Entry<'_>| !entry.repeated && (self.spelling)(&entry.key) == key;
        let value = &self.map?.entries.iter().find(same)?.value;
        (!matches!(value.value, Value::Null | Value::Lost)).then_some(value)
    }

    /// Whether maps of this section have a key of this name.
    pub(super) fn has(&self, key: &str) -> bool {
        self.section.row(key).is_some()
    }

    /// Whether nothing stands in it.
    pub(super) fn is_empty(&self) -> bool {
        self.map.is_some_and(|map| map.entries.is_empty())
    }

    /// How a key of it is called in a report.
    pub(super) fn path(&self, key: &str) -> String {
        join(&self.at, key)
    }
}

pub(super) fn join(at: &str, key: &str) -> String {
    if at.is_empty() {
        key.to_owned()
    } else {
        format!("{at}.{key}")
    }
}

impl Reader {
    pub(super) fn new(broken: bool) -> Self {
        Self {
            findings: Findings::default(),
            fates: BTreeMap::new(),
            links: Links::new(),
            dns: NameServers::default(),
            spots: Spots::default(),
            broken,
        }
    }

    /// Judges every key of a map by a section.
    pub(super) fn fields<'n, 'd>(&mut self, node: &'n Node<'d>, section: &'static Section, at: &str) -> Fields<'n, 'd> {
        self.spelled(node, section, at, |key| Cow::Borrowed(key))
    }

    /// As [`Self::fields`]; keys may be written with `_` for `-` and without `bond-` in front.
    pub(super) fn dashed<'n, 'd>(&mut self, node: &'n Node<'d>, section: &'static Section, at: &str) -> Fields<'n, 'd> {
        self.spelled(node, section, at, |key| {
            let key = key.replace('_', "-");
            Cow::Owned(if key.starts_with("bond-") {
                key
            } else {
                format!("bond-{key}")
            })
        })
    }

    fn spelled<'n, 'd>(
        &mut self,
        node: &'n Node<'d>,
        section: &'static Section,
        at: &str,
        spelling: fn(&str) -> Cow<'_, str>,
    ) -> Fields<'n, 'd> {
        let map = node.map();
        match map {
            Some(map) => self.judge(map, section, at, spelling),
            None if matches!(node.value, Value::Lost | Value::Null) => {}
            None => self.wrong_type(node, at, "a map"),
        }
        Fields {
            map,
            section,
            spelling,
            span: node.span.clone(),
            at: at.to_owned(),
        }
    }

    /// Judges every key of a map by a section.
    pub(super) fn only(&mut self, map: &Map<'_>, section: &'static Section, at: &str) {
        self.judge(map, section, at, |key| Cow::Borrowed(key));
    }

    fn judge(&mut self, map: &Map<'_>, section: &'static Section, at: &str, spelling: fn(&str) -> Cow<'_, str>) {
        for entry in &map.entries {
            let path = join(at, &entry.key);
            if entry.repeated {
                self.settle(entry, Fate::Refused);
                continue;
            }
            match section.row(&spelling(&entry.key)).map(|row| row.verdict) {
                Some(Verdict::Honoured) => drop(self.fates.insert(entry.at.start, Fate::Honoured)),
                Some(Verdict::Noted(why)) => {
                    self.settle(entry, Fate::Noted);
                    let message = format!("`{}` has no effect here: {why}", entry.key);
                    self.findings
                        .push(Finding::warning(Code::NoEffect, entry.at.clone(), &path, message));
                }
                Some(Verdict::Refused(why, cure)) => {
                    self.settle(entry, Fate::Refused);
                    let message = format!("`{}` is not supported: {why}", entry.key);
                    let finding = Finding::error(Code::Unsupported, entry.at.clone(), &path, message);
                    self.findings.push(finding.cure(cure));
                }
                None => {
                    self.settle(entry, Fate::Refused);
                    let place = if at.is_empty() {
                        "at the top".to_owned()
                    } else {
                        format!("in `{at}`")
                    };
                    let message = format!("there is no key {:?} {place}", &*entry.key);
                    let near = nearest(&entry.key, section.rows().map(|row| row.key));
                    let cure = match near {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => known(
                            section
                                .rows()
                                .filter(|row| row.verdict.is_honoured())
                                .map(|row| row.key),
                        ),
                    };
                    self.findings
                        .push(Finding::error(Code::UnknownKey, entry.at.clone(), &path, message).cure(cure));
                }
            }
        }
    }

    /// The entries of a map whose keys are the operator's.
    pub(super) fn named<'n, 'd>(&mut self, node: Option<&'n Node<'d>>, at: &str) -> Vec<&'n Entry<'d>> {
        let Some(node) = node else { return Vec::new() };
        let Some(map) = node.map() else {
            self.wrong_type(node, at, "a map");
            return Vec::new();
        };
        for entry in &map.entries {
            let fate = if entry.repeated { Fate::Refused } else { Fate::Honoured };
            self.fates.insert(entry.at.start, fate);
            if entry.repeated {
                self.settle(entry, fate);
            }
        }
        map.entries.iter().filter(|entry| !entry.repeated).collect()
    }

    /// Marks a key and all below it.
    fn settle(&mut self, entry: &Entry<'_>, fate: Fate) {
        self.fates.insert(entry.at.start, fate);
        self.settle_inside(&entry.value, fate);
    }

    pub(super) fn settle_inside(&mut self, node: &Node<'_>, fate: Fate) {
        match &node.value {
            Value::Map(map) => map.entries.iter().for_each(|entry| self.settle(entry, fate)),
            Value::List(list) => list.iter().for_each(|node| self.settle_inside(node, fate)),
            _ => {}
        }
    }

    /// Nothing in it can be understood.
    pub(super) fn refuse_all(&mut self, node: &Node<'_>) {
        self.settle_inside(node, Fate::Refused);
    }

    pub(super) fn wrong_type(&mut self, node: &Node<'_>, at: &str, wanted: &str) {
        self.settle_inside(node, Fate::Refused);
        if matches!(node.value, Value::Lost) {
            return;
        }
        let what = if at.is_empty() {
            "the configuration".to_owned()
        } else {
            format!("`{at}`")
        };
        let message = format!("this is {}, {what} is {wanted}", node.article());
        let cure = match wanted {
            "a map" => "write `KEY: VALUE` for each of its keys",
            "a list" => "write a list: `[…]`, or a line `- …` for each entry",
            "a yes-or-no" => "write `true` or `false`",
            "a whole number" => "write digits only",
            "a time" => "write seconds, or a number with its unit: `30s`",
            _ => "write one text",
        };
        self.error(Code::WrongType, &node.span, at, message, cure);
    }

    pub(super) fn error(&mut self, code: Code, span: &Range<usize>, at: &str, message: impl Into<String>, cure: &str) {
        self.findings
            .push(Finding::error(code, span.clone(), at, message).cure(cure));
    }

    pub(super) fn note(&mut self, span: &Range<usize>, at: &str, message: impl Into<String>) {
        self.findings
            .push(Finding::warning(Code::NoEffect, span.clone(), at, message));
    }

    /// Notes where a value of a link stands.
    pub(super) fn spot(&mut self, link: &str, path: &str, span: &Range<usize>, at: &str) {
        let key = (link.to_owned(), path.to_owned());
        self.spots.0.entry(key).or_insert_with(|| (span.clone(), at.to_owned()));
    }

    /// A text that satisfies a rule, as the type that the rule is for.
    pub(super) fn parse<T: std::str::FromStr>(&mut self, node: &Node<'_>, rule: Rule, at: &str) -> Option<T> {
        let Some(scalar) = node.scalar() else {
            self.wrong_type(node, at, "a text");
            return None;
        };
        self.parse_text(&scalar.text, &node.span, rule, at)
    }

    pub(super) fn parse_text<T: std::str::FromStr>(
        &mut self,
        text: &str,
        span: &Range<usize>,
        rule: Rule,
        at: &str,
    ) -> Option<T> {
        match string::check(rule, text) {
            Ok(json) => json.as_str().and_then(|text| text.parse().ok()),
            Err((code, error)) => {
                self.findings
                    .push(Finding::error(code, span.clone(), at, error.problem).cure(error.cure));
                None
            }
        }
    }

    pub(super) fn flag(&mut self, node: Option<&Node<'_>>, at: &str) -> Option<bool> {
        let node = node?;
        let flag = node.flag();
        if flag.is_none() {
            self.wrong_type(node, at, "a yes-or-no");
        }
        flag
    }

    /// A whole number within bounds, both included; one in quotes counts, as some generators write it.
    pub(super) fn number(&mut self, node: Option<&Node<'_>>, at: &str, (min, max): (u32, u32)) -> Option<u32> {
        let node = node?;
        let quoted = || node.scalar().and_then(|scalar| scalar.text.parse::<i64>().ok());
        let Some(number) = node.integer().or_else(quoted) else {
            self.wrong_type(node, at, "a whole number");
            return None;
        };
        let number = u32::try_from(number).ok().filter(|n| (min..=max).contains(n));
        if number.is_none() {
            let cure = format!("write a number from {min} to {max}");
            self.error(Code::OutOfRange, &node.span, at, "the number is out of range", &cure);
        }
        number
    }

    /// The elements of a list; one value alone is a list of one where `one` allows it.
    pub(super) fn list<'n, 'd>(&mut self, node: Option<&'n Node<'d>>, at: &str, one: bool) -> &'n [Node<'d>] {
        let Some(node) = node else { return &[] };
        match node.list() {
            Some(list) => list,
            None if one && node.scalar().is_some() => std::slice::from_ref(node),
            None => {
                self.wrong_type(node, at, "a list");
                &[]
            }
        }
    }

    /// Adds a link; a second of its name is an error.
    pub(super) fn add(&mut self, name: &str, link: Option<Link>, span: &Range<usize>, at: &str) {
        if self.links.contains_key(name) {
            let message = format!("the link {name:?} is described twice");
            self.error(Code::Repeated, span, at, message, "merge the two");
            return;
        }
        self.spot(name, "", span, at);
        self.links.insert(name.to_owned(), link);
    }
}
