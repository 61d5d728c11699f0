//! Sets and maps, and their elements.

use super::data::{Data, DataType, Verdict, write_value};
use super::uapi;
use crate::wire::{Attributes, Buffer, attributes};
use std::time::Duration;

const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LEN: u16 = 5;
const SET_DATA_TYPE: u16 = 6;
const SET_DATA_LEN: u16 = 7;
const SET_ID: u16 = 10;
const SET_TIMEOUT: u16 = 11;
const SET_USERDATA: u16 = 13;

const FLAG_INTERVAL: u32 = 0x4;
const FLAG_MAP: u32 = 0x8;
const FLAG_TIMEOUT: u32 = 0x10;
const FLAG_EVAL: u32 = 0x20;
const TYPE_VERDICT: u32 = 0xffff_ff00;

const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const ELEM_KEY: u16 = 1;
const ELEM_DATA: u16 = 2;
const ELEM_FLAGS: u16 = 3;
const ELEM_INTERVAL_END: u32 = 1;

/// Elements per message: far below what a 16-bit length holds.
pub(super) const ELEMENTS_PER_MESSAGE: usize = 400;

/// What a map gives for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetData<'a> {
    /// A value of these fields.
    Value(&'a [DataType]),
    /// A verdict.
    Verdict,
}

/// A set or map to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set<'a> {
    /// Name, unique in its table.
    pub name: &'a str,
    /// Fields of the key.
    pub key: &'a [DataType],
    /// What it maps to; None: a set.
    pub data: Option<SetData<'a>>,
    /// Keys are ranges ([`Element::range`]); only for keys of one field.
    pub interval: bool,
    /// Elements vanish by themselves after this time.
    pub timeout: Option<Duration>,
    /// Rules add elements.
    pub dynamic: bool,
}

impl<'a> Set<'a> {
    /// A set of keys of these fields.
    pub const fn of(name: &'a str, key: &'a [DataType]) -> Self {
        Self {
            name,
            key,
            data: None,
            interval: false,
            timeout: None,
            dynamic: false,
        }
    }

    /// A map from keys to values.
    pub const fn map(name: &'a str, key: &'a [DataType], value: &'a [DataType]) -> Self {
        Self {
            data: Some(SetData::Value(value)),
            ..Self::of(name, key)
        }
    }

    /// A map from keys to verdicts.
    pub const fn verdicts(name: &'a str, key: &'a [DataType]) -> Self {
        Self {
            data: Some(SetData::Verdict),
            ..Self::of(name, key)
        }
    }

    fn flags(&self) -> u32 {
        let mut flags = 0;
        for (wanted, bit) in [
            (self.interval, FLAG_INTERVAL),
            (self.data.is_some(), FLAG_MAP),
            (self.timeout.is_some(), FLAG_TIMEOUT),
            (self.dynamic, FLAG_EVAL),
        ] {
            flags |= if wanted { bit } else { 0 };
        }
        flags
    }

    /// `id` only has to differ between the sets of a batch.
    pub(super) fn write(&self, table: &str, id: u32, out: &mut Buffer) {
        out.text(SET_TABLE, table).text(SET_NAME, self.name);
        out.be32(SET_FLAGS, self.flags());
        out.be32(SET_KEY_TYPE, DataType::concatenated(self.key));
        out.be32(SET_KEY_LEN, length(self.key));
        match self.data {
            Some(SetData::Value(fields)) => {
                out.be32(SET_DATA_TYPE, DataType::concatenated(fields));
                out.be32(SET_DATA_LEN, length(fields));
            }
            Some(SetData::Verdict) => {
                out.be32(SET_DATA_TYPE, TYPE_VERDICT);
            }
            None => {}
        }
        if let Some(timeout) = self.timeout {
            let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            out.be64(SET_TIMEOUT, millis);
        }
        out.be32(SET_ID, id);
        if let [one] = self.key {
            out.attr(SET_USERDATA, &byte_order(*one));
        }
    }
}

/// What `nft` wants to know to show keys: an item of type 0 and four bytes, 1 for host order, 2 for
/// network order.
fn byte_order(key: DataType) -> [u8; 6] {
    let order: u32 = if key.is_host_order() { 1 } else { 2 };
    let [a, b, c, d] = order.to_ne_bytes();
    [0, 4, a, b, c, d]
}

fn length(fields: &[DataType]) -> u32 {
    u32::try_from(DataType::total_length(fields)).unwrap_or(u32::MAX)
}

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    key: Data,
    end: Option<Data>,
    data: Option<ElementData>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ElementData {
    Value(Data),
    Verdict(Verdict),
}

impl Element {
    /// An element of a set. Keys of several fields are made by [`Data::concat`].
    pub fn key(key: impl Into<Data>) -> Self {
        Self {
            key: key.into(),
            end: None,
            data: None,
        }
    }

    /// An element of an interval set: from `first` up to, not including, `end`.
    pub fn range(first: impl Into<Data>, end: impl Into<Data>) -> Self {
        Self {
            end: Some(end.into()),
            ..Self::key(first)
        }
    }

    /// The same key with a value.
    #[must_use]
    pub fn value(mut self, value: impl Into<Data>) -> Self {
        self.data = Some(ElementData::Value(value.into()));
        self
    }

    /// The same key with a verdict.
    #[must_use]
    pub fn verdict(mut self, verdict: Verdict) -> Self {
        self.data = Some(ElementData::Verdict(verdict));
        self
    }

    fn write(&self, out: &mut Buffer) {
        out.nest(uapi::LIST_ELEM, |elem| {
            write_value(elem, ELEM_KEY, &self.key.0);
            match &self.data {
                Some(ElementData::Value(value)) => write_value(elem, ELEM_DATA, &value.0),
                Some(ElementData::Verdict(verdict)) => verdict.write(elem, ELEM_DATA),
                None => {}
            }
        });
        if let Some(end) = &self.end {
            out.nest(uapi::LIST_ELEM, |elem| {
                write_value(elem, ELEM_KEY, &end.0);
                elem.be32(ELEM_FLAGS, ELEM_INTERVAL_END);
            });
        }
    }
}

/// Names a set for deletion or flushing.
pub(super) fn write_name(table: &str, name: &str, out: &mut Buffer) {
    out.text(SET_TABLE, table).text(SET_NAME, name);
}

/// Names a set and some of its elements; none: all of them.
pub(super) fn write_elements(table: &str, set: &str, elements: &[Element], out: &mut Buffer) {
    out.text(LIST_TABLE, table).text(LIST_SET, set);
    if elements.is_empty() {
        return;
    }
    out.nest(LIST_ELEMENTS, |list| {
        for element in elements {
            element.write(list);
        }
    });
}

/// An element as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Key, as raw bytes.
    pub key: Vec<u8>,
    /// Value of a map that maps to values.
    pub value: Option<Vec<u8>>,
}

/// The elements in a message that lists them; interval ends are left out.
pub(super) fn parse_elements(body: &[u8]) -> Vec<Entry> {
    let attributes = attributes(body.get(4..).unwrap_or_default());
    let Some(list) = attributes.find(LIST_ELEMENTS) else {
        return Vec::new();
    };
    list.nested()
        .filter_map(|element| parse_element(&element.nested()))
        .collect()
}

fn parse_element(fields: &Attributes<'_>) -> Option<Entry> {
    let value = |kind| {
        let data = fields.clone().find(kind)?;
        data.nested().find(uapi::DATA_VALUE).map(|value| value.value.to_vec())
    };
    let flags = fields
        .clone()
        .find(ELEM_FLAGS)
        .and_then(|flags| flags.as_be32())
        .unwrap_or(0);
    if flags & ELEM_INTERVAL_END != 0 {
        return None;
    }
    Some(Entry {
        key: value(ELEM_KEY)?,
        value: value(ELEM_DATA),
    })
}
