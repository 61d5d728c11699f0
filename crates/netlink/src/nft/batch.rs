//! One transaction: messages about one table, applied whole or not at all.

use super::chain::{self, Chain};
use super::rule::{self, Rule};
use super::set::{self, ELEMENTS_PER_MESSAGE, Element, Set};
use super::{Family, uapi};
use crate::message::{Message, flags};
use crate::wire::Buffer;

const TABLE_NAME: u16 = 1;

/// A transaction about one table. Messages are applied in the order they were added.
#[derive(Debug, Clone)]
pub struct Batch {
    family: Family,
    table: String,
    messages: Vec<Message>,
    sets: u32,
}

impl Batch {
    /// An empty transaction about this table.
    pub fn new(family: Family, table: impl Into<String>) -> Self {
        Self {
            family,
            table: table.into(),
            messages: Vec::new(),
            sets: 0,
        }
    }

    /// True when there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Appends another transaction: both happen together.
    pub fn append(&mut self, other: Self) -> &mut Self {
        self.messages.extend(other.messages);
        self
    }

    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Makes the table unless it is there.
    pub fn add_table(&mut self) -> &mut Self {
        let what = format!("add table {}", self.table);
        self.push(uapi::msg::NEWTABLE, flags::CREATE, what, write_table)
    }

    /// Deletes the table and all in it; no error when it is not there.
    pub fn destroy_table(&mut self) -> &mut Self {
        let what = format!("delete table {}", self.table);
        self.push(uapi::msg::DESTROYTABLE, 0, what, write_table)
    }

    /// Deletes the table and all in it.
    pub fn delete_table(&mut self) -> &mut Self {
        let what = format!("delete table {}", self.table);
        self.push(uapi::msg::DELTABLE, 0, what, write_table)
    }

    /// Makes a chain unless it is there.
    pub fn add_chain(&mut self, chain: &Chain<'_>) -> &mut Self {
        let what = format!("add chain {}", chain.name);
        self.push(uapi::msg::NEWCHAIN, flags::CREATE, what, |table, out| {
            chain.write(table, out)
        })
    }

    /// Deletes a chain that nothing jumps to any more.
    pub fn delete_chain(&mut self, name: &str) -> &mut Self {
        let what = format!("delete chain {name}");
        self.push(uapi::msg::DELCHAIN, 0, what, |table, out| {
            chain::write_name(table, name, out)
        })
    }

    /// Deletes all rules of a chain.
    pub fn flush_chain(&mut self, name: &str) -> &mut Self {
        let what = format!("flush chain {name}");
        self.push(uapi::msg::DELRULE, 0, what, |table, out| {
            rule::write_flush(table, name, out)
        })
    }

    /// Adds a rule at the end of a chain.
    pub fn add_rule(&mut self, chain: &str, rule: Rule) -> &mut Self {
        self.rule(chain, &rule, flags::CREATE | flags::APPEND)
    }

    /// Adds a rule at the beginning of a chain.
    pub fn insert_rule(&mut self, chain: &str, rule: Rule) -> &mut Self {
        self.rule(chain, &rule, flags::CREATE)
    }

    /// Makes a set or map unless it is there.
    pub fn add_set(&mut self, set: &Set<'_>) -> &mut Self {
        self.sets += 1;
        let id = self.sets;
        let what = format!("add set {}", set.name);
        self.push(uapi::msg::NEWSET, flags::CREATE, what, |table, out| {
            set.write(table, id, out)
        })
    }

    /// Deletes a set that no rule uses any more.
    pub fn delete_set(&mut self, name: &str) -> &mut Self {
        let what = format!("delete set {name}");
        self.push(uapi::msg::DELSET, 0, what, |table, out| {
            set::write_name(table, name, out)
        })
    }

    /// Deletes all elements of a set.
    pub fn flush_set(&mut self, name: &str) -> &mut Self {
        let what = format!("flush set {name}");
        self.push(uapi::msg::DELSETELEM, 0, what, |table, out| {
            set::write_elements(table, name, &[], out);
        })
    }

    /// Adds elements; no error for one that is there with the same value.
    pub fn add_elements(&mut self, set: &str, elements: &[Element]) -> &mut Self {
        let what = format!("add to set {set}");
        self.elements(uapi::msg::NEWSETELEM, flags::CREATE, &what, set, elements)
    }

    /// Deletes elements; an error for one that is not there.
    pub fn delete_elements(&mut self, set: &str, elements: &[Element]) -> &mut Self {
        let what = format!("delete from set {set}");
        self.elements(uapi::msg::DELSETELEM, 0, &what, set, elements)
    }

    /// Deletes elements; no error for one that is not there.
    pub fn destroy_elements(&mut self, set: &str, elements: &[Element]) -> &mut Self {
        let what = format!("delete from set {set}");
        self.elements(uapi::msg::DESTROYSETELEM, 0, &what, set, elements)
    }

    fn elements(&mut self, kind: u16, flags: u16, what: &str, set: &str, elements: &[Element]) -> &mut Self {
        for some in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.push(kind, flags, what.to_owned(), |table, out| {
                set::write_elements(table, set, some, out);
            });
        }
        self
    }

    fn rule(&mut self, chain: &str, rule: &Rule, flags: u16) -> &mut Self {
        let number = self.messages.len();
        let what = format!("add rule to chain {chain} (message {number})");
        self.push(uapi::msg::NEWRULE, flags, what, |table, out| {
            rule.write(table, chain, out)
        })
    }

    /// Appends a message whose attributes `fill` writes; it is given the table's name.
    fn push(&mut self, kind: u16, flags: u16, what: String, fill: impl FnOnce(&str, &mut Buffer)) -> &mut Self {
        let header = header(self.family as u8, 0);
        let mut message = Message::new(uapi::SUBSYSTEM | kind, flags, what, &header);
        fill(&self.table, &mut message.body);
        self.messages.push(message);
        self
    }
}

fn write_table(table: &str, out: &mut Buffer) {
    out.text(TABLE_NAME, table);
}

/// `struct nfgenmsg`: family, version, resource.
pub(super) fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}
