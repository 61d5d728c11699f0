//! Reads a document's tree for rules that look at several keys at once. What is absent or of another type is skipped:
//! the walk has reported it.

use std::ops::Range;

use super::nearest::meant;
use crate::schema;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table, where it stands and what it is called.
#[derive(Clone, Copy)]
pub(crate) struct View<'t, 'i> {
    pub(crate) table: &'t DeTable<'i>,
    pub(crate) name: &'t str,
    span: (usize, usize),
}

/// A string and where it stands.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Found<'t> {
    pub(crate) text: &'t str,
    pub(crate) span: Range<usize>,
}

impl<'t, 'i> View<'t, 'i> {
    pub(crate) fn root(table: &'t DeTable<'i>) -> Self {
        Self {
            table,
            name: "",
            span: (0, 0),
        }
    }

    fn of(name: &'t str, key: Range<usize>, value: &'t Spanned<DeValue<'i>>) -> Option<Self> {
        let DeValue::Table(table) = value.get_ref() else {
            return None;
        };
        Some(Self {
            table,
            name,
            span: (key.start, key.end),
        })
    }

    /// Where the table's key stands.
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.0..self.span.1
    }

    /// The table `key` within.
    pub(crate) fn table(&self, key: &str) -> Option<View<'t, 'i>> {
        let (name, value) = self.table.get_key_value(key)?;
        Self::of(name.get_ref(), name.span(), value)
    }

    /// The tables within the table `key`.
    pub(crate) fn tables(&self, key: &str) -> Vec<View<'t, 'i>> {
        let Some(map) = self.table(key) else { return Vec::new() };
        map.table
            .iter()
            .filter_map(|(key, value)| Self::of(key.get_ref(), key.span(), value))
            .collect()
    }

    /// The tables within the top-level table `key`, however it is misspelt.
    pub(crate) fn sections(&self, key: &str) -> Vec<View<'t, 'i>> {
        // Tables first: a comparison with every known name costs.
        let few = self.table.len() <= 1000;
        let tables = self.table.iter().filter(|(_, value)| value.get_ref().is_table());
        let names = tables.map(|(name, _)| name.get_ref().as_ref());
        let misspelt =
            |name: &str| few && schema::child("", name).is_none() && meant("", name).is_some_and(|row| row.path == key);
        let meant = names.filter(|name| *name == key || misspelt(name));
        meant.flat_map(|name| self.tables(name)).collect()
    }

    /// The tables of the list `key`.
    pub(crate) fn list(&self, key: &str) -> Vec<View<'t, 'i>> {
        let Some((name, value)) = self.table.get_key_value(key) else {
            return Vec::new();
        };
        let DeValue::Array(array) = value.get_ref() else {
            return Vec::new();
        };
        array
            .iter()
            .filter_map(|value| Self::of(name.get_ref(), value.span(), value))
            .collect()
    }

    /// Whether `key` is there, and where.
    pub(crate) fn key(&self, key: &str) -> Option<Range<usize>> {
        self.table.get_key_value(key).map(|(name, _)| name.span())
    }

    /// Whether it has a key that a table of this pattern does not have.
    pub(crate) fn has_unknown(&self, pattern: &str) -> bool {
        let mut names = self.table.keys();
        names.any(|name| schema::child(pattern, name.get_ref()).is_none())
    }

    pub(crate) fn text(&self, key: &str) -> Option<Found<'t>> {
        found(self.table.get(key)?)
    }

    pub(crate) fn texts(&self, key: &str) -> Vec<Found<'t>> {
        match self.table.get(key).map(Spanned::get_ref) {
            Some(DeValue::Array(array)) => array.iter().filter_map(found).collect(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        matches!(self.table.get(key).map(Spanned::get_ref), Some(DeValue::Boolean(true)))
    }

    /// The names of secrets that values of this table refer to as `{ secret = "NAME" }`.
    pub(crate) fn secret_refs(&self) -> Vec<Found<'t>> {
        let tables = self.table.values().filter_map(|value| match value.get_ref() {
            DeValue::Table(table) => table.get("secret"),
            _ => None,
        });
        tables.filter_map(found).collect()
    }
}

fn found<'t>(value: &'t Spanned<DeValue<'_>>) -> Option<Found<'t>> {
    match value.get_ref() {
        DeValue::String(text) => Some(Found {
            text,
            span: value.span(),
        }),
        _ => None,
    }
}
