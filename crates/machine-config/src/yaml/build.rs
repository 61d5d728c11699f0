//! From the scanner's events to a tree, in one pass and within bounds.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::offsets::Offsets;
use super::tree::{Entry, Map, Node, Scalar, Style, Value};
use crate::diagnostic::Code;
use crate::syntax::Fault;

/// Deepest nesting accepted.
pub(super) const MAX_DEPTH: usize = 64;

/// The most values a document may hold, those that aliases repeat included.
pub(super) const MAX_VALUES: usize = 1 << 16;

/// A text read as far as it goes.
#[derive(Default)]
pub(super) struct Built<'d> {
    pub(super) root: Option<Node<'d>>,
    /// What is wrong and did not stop the reading.
    pub(super) faults: Vec<Fault>,
    pub(super) stop: Option<Stop>,
}

/// Why the reading ended early.
pub(super) enum Stop {
    /// The scanner cannot make sense of what it saw at this byte.
    Syntax { at: usize, info: String },
    /// A bound was passed: nothing that follows would be worth knowing.
    Bound(Fault),
}

/// Reads `text`, which begins at byte `base` of the document. The values of the keys at `lost` are known to be broken.
pub(super) fn build<'d>(text: &'d str, base: usize, lost: &BTreeSet<usize>) -> Built<'d> {
    let mut builder = Builder {
        offsets: Offsets::new(text, base),
        lost,
        open: Vec::new(),
        anchors: HashMap::new(),
        values: 0,
        built: Built::default(),
    };
    for event in Parser::new_from_str(text) {
        let step = match event {
            Ok((event, span)) => {
                let span = builder.offsets.byte(&span.start)..builder.offsets.byte(&span.end);
                builder.event(event, span.start..span.end.max(span.start))
            }
            Err(error) => Err(Stop::Syntax {
                at: builder.offsets.byte(error.marker()),
                info: error.info().to_owned(),
            }),
        };
        match step {
            Ok(true) => {}
            Ok(false) => break,
            Err(stop) => {
                builder.built.stop = Some(stop);
                break;
            }
        }
    }
    builder.built
}

struct Builder<'d, 'l> {
    offsets: Offsets,
    lost: &'l BTreeSet<usize>,
    open: Vec<Open<'d>>,
    /// What was given a name with `&`, with its number of values.
    anchors: HashMap<usize, (Node<'d>, usize)>,
    values: usize,
    built: Built<'d>,
}

/// A list or map that has not ended.
struct Open<'d> {
    start: usize,
    anchor: usize,
    /// Values of the document before it.
    before: usize,
    shape: Shape<'d>,
}

/// The key whose value comes next.
enum PendingKey<'d> {
    None,
    Named(Cow<'d, str>, Range<usize>),
    /// It cannot be one, which has been reported.
    Unusable,
}

enum Shape<'d> {
    List(Vec<Node<'d>>),
    Map {
        map: Map<'d>,
        key: PendingKey<'d>,
        /// What `<<` names.
        merged: Vec<Node<'d>>,
        seen: HashMap<Cow<'d, str>, Range<usize>>,
    },
}

/// A mistake that hides nothing.
pub(super) fn fault(code: Code, range: Range<usize>, message: impl Into<String>, cure: &str) -> Fault {
    Fault {
        code,
        hidden: 0..0,
        range,
        first: None,
        message: message.into(),
        cure: (!cure.is_empty()).then(|| cure.to_owned()),
    }
}

impl<'d> Builder<'d, '_> {
    /// Whether to go on.
    fn event(&mut self, event: Event<'d>, span: Range<usize>) -> Result<bool, Stop> {
        match event {
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
            Event::StreamEnd => return Ok(false),
            Event::DocumentStart(_) if self.built.root.is_some() => {
                let message = "a second document begins here";
                let cure = "put everything into one document";
                self.built.faults.push(fault(Code::Syntax, span, message, cure));
                return Ok(false);
            }
            Event::DocumentStart(_) => {}
            Event::Alias(id) => self.alias(id, span)?,
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, &span)?;
                let style = self.style(style, tag.as_deref(), &span);
                let null = style == Style::Plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                let value = match null {
                    true => Value::Null,
                    false => Value::Scalar(Scalar { text, style }),
                };
                self.complete(Node { span, value }, anchor, 1);
            }
            Event::SequenceStart(anchor, tag) => self.begin(span, anchor, tag.as_deref(), Shape::List(Vec::new()))?,
            Event::MappingStart(anchor, tag) => {
                let shape = Shape::Map {
                    map: Map::default(),
                    key: PendingKey::None,
                    merged: Vec::new(),
                    seen: HashMap::new(),
                };
                self.begin(span, anchor, tag.as_deref(), shape)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(&span),
        }
        Ok(true)
    }

    fn count(&mut self, values: usize, span: &Range<usize>) -> Result<(), Stop> {
        self.values = self.values.saturating_add(values);
        if self.values <= MAX_VALUES {
            return Ok(());
        }
        let message = format!("the document has more than {MAX_VALUES} values, those that aliases repeat included");
        Err(Stop::Bound(fault(Code::Syntax, span.clone(), message, "shorten it")))
    }

    fn style(&mut self, style: ScalarStyle, tag: Option<&Tag>, span: &Range<usize>) -> Style {
        let written = match style {
            ScalarStyle::Plain => Style::Plain,
            _ => Style::Text,
        };
        match tag {
            None => written,
            Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
                "str" => Style::Text,
                "binary" => Style::Binary,
                "bool" | "int" | "float" | "null" | "timestamp" => written,
                _ => self.unknown_tag(tag, span, written),
            },
            Some(tag) => self.unknown_tag(tag, span, written),
        }
    }

    fn unknown_tag(&mut self, tag: &Tag, span: &Range<usize>, style: Style) -> Style {
        let message = format!("the tag `{tag}` is not understood");
        let cure = "leave the tag out";
        self.built.faults.push(fault(Code::Syntax, span.clone(), message, cure));
        style
    }

    fn begin(&mut self, span: Range<usize>, anchor: usize, tag: Option<&Tag>, shape: Shape<'d>) -> Result<(), Stop> {
        let before = self.values;
        self.count(1, &span)?;
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            self.unknown_tag(tag, &span, Style::Plain);
        }
        if self.open.len() >= MAX_DEPTH {
            let message = format!("lists and maps stand in one another more than {MAX_DEPTH} deep");
            return Err(Stop::Bound(fault(Code::Syntax, span, message, "nest less deeply")));
        }
        self.open.push(Open {
            start: span.start,
            anchor,
            before,
            shape,
        });
        Ok(())
    }

    fn end(&mut self, span: &Range<usize>) {
        let Some(open) = self.open.pop() else { return };
        let (value, last) = match open.shape {
            Shape::List(list) => {
                let last = list.last().map(|node| node.span.end);
                (Value::List(list), last)
            }
            Shape::Map { mut map, merged, .. } => {
                merge(&mut map, merged, &mut self.built.faults);
                let last = map.entries.last().map(|entry| entry.value.span.end.max(entry.at.end));
                (Value::Map(map), last)
            }
        };
        // A flow collection ends with its bracket; a block one, for the scanner, where the next thing begins.
        let end = if span.is_empty() {
            last.unwrap_or(span.end)
        } else {
            span.end
        };
        let node = Node {
            span: open.start..end.max(open.start),
            value,
        };
        self.complete(node, open.anchor, self.values - open.before);
    }

    fn alias(&mut self, id: usize, span: Range<usize>) -> Result<(), Stop> {
        let Some((node, values)) = self.anchors.get(&id) else {
            let message = "this alias stands inside of what it names";
            let cure = "write the value out";
            self.built.faults.push(fault(Code::Syntax, span.clone(), message, cure));
            let value = Value::Lost;
            self.complete(Node { span, value }, 0, 1);
            return Ok(());
        };
        // Bounded before it is copied.
        let (values, total) = (*values, self.values.saturating_add(*values));
        let copy = (total <= MAX_VALUES).then(|| node.clone());
        self.count(values, &span)?;
        if let Some(copy) = copy {
            self.complete(copy, 0, values);
        }
        Ok(())
    }

    /// Puts a value where it belongs.
    fn complete(&mut self, node: Node<'d>, anchor: usize, values: usize) {
        if anchor != 0 && self.values + values <= MAX_VALUES {
            self.values += values;
            self.anchors.insert(anchor, (node.clone(), values));
        }
        match self.open.last_mut().map(|open| &mut open.shape) {
            None => self.built.root = Some(node),
            Some(Shape::List(list)) => list.push(node),
            Some(Shape::Map { key, map, merged, seen }) => match std::mem::replace(key, PendingKey::None) {
                PendingKey::None => *key = pending_key(node, &mut self.built.faults),
                PendingKey::Unusable => {}
                PendingKey::Named(name, _) if name == "<<" => merged.push(node),
                PendingKey::Named(name, at) => {
                    enter(map, seen, (name, at), node, self.lost, &mut self.built.faults);
                }
            },
        }
    }
}

/// The key that a node is.
fn pending_key<'d>(node: Node<'d>, faults: &mut Vec<Fault>) -> PendingKey<'d> {
    match node.value {
        Value::Scalar(scalar) => PendingKey::Named(scalar.text, node.span),
        Value::Null => PendingKey::Named(Cow::Borrowed(""), node.span),
        _ => {
            let message = "the name of a key is a list or a map";
            let cure = "a value that begins with `{` or `[` needs quotes; a template `{{ … }}` is not filled in here";
            faults.push(fault(Code::Syntax, node.span, message, cure));
            PendingKey::Unusable
        }
    }
}

/// Puts a key with its value into a map.
fn enter<'d>(
    map: &mut Map<'d>,
    seen: &mut HashMap<Cow<'d, str>, Range<usize>>,
    (key, at): (Cow<'d, str>, Range<usize>),
    mut value: Node<'d>,
    lost: &BTreeSet<usize>,
    faults: &mut Vec<Fault>,
) {
    if value.value == Value::Null && lost.contains(&at.start) {
        value.value = Value::Lost;
    }
    let first = seen.get(&key).cloned();
    let repeated = first.is_some();
    if repeated {
        let message = format!("{key:?} is defined a second time");
        faults.push(Fault {
            first,
            ..fault(Code::DuplicateKey, at.clone(), message, "merge the two definitions")
        });
    } else {
        seen.insert(key.clone(), at.clone());
    }
    map.entries.push(Entry {
        key,
        at,
        value,
        repeated,
    });
}

/// Puts what the merge key `<<` names below the map's own keys, the first of several maps above the later ones.
fn merge<'d>(map: &mut Map<'d>, merged: Vec<Node<'d>>, faults: &mut Vec<Fault>) {
    let mut seen: BTreeSet<Cow<'d, str>> = map.entries.iter().map(|entry| entry.key.clone()).collect();
    let mut maps = Vec::new();
    for node in merged {
        match node.value {
            Value::List(list) => maps.extend(list),
            _ => maps.push(node),
        }
    }
    for node in maps {
        let Value::Map(other) = node.value else {
            let message = "what `<<` merges is a map, or a list of maps";
            faults.push(fault(Code::WrongType, node.span, message, "name a map with `*NAME`"));
            continue;
        };
        let new = other.entries.into_iter().filter(|entry| !entry.repeated);
        map.entries.extend(new.filter(|entry| seen.insert(entry.key.clone())));
    }
}
