//! YAML with places: from text to a tree in which every key and value knows its bytes, all mistakes of syntax in one go.
//!
//! A text that parses costs one pass. Otherwise it is looked at section by section (a section begins with a key at the
//! first column); what is broken is explained and taken out, its place stays, and what is left is read, so that the
//! mistakes in it are found as well. Time and memory are bounded: see [`repair`] and [`build`].

mod build;
mod explain;
mod line;
mod offsets;
mod repair;
#[cfg(test)]
mod repair_test;
mod tree;

use std::collections::BTreeSet;

pub(crate) use tree::{Entry, Map, Node, Style, Value};

use crate::syntax::{Broken, Fault};

/// A text read as far as it can be read.
pub(crate) struct Parsed<'d> {
    /// The tree; absent for an empty text, and for one that passes a bound.
    pub(crate) root: Option<Node<'d>>,
    /// The mistakes, with ranges of the text.
    pub(crate) faults: Vec<Fault>,
    /// Mistakes that are only counted.
    pub(crate) more: usize,
    /// What was taken out.
    pub(crate) broken: Broken,
}

/// Reads `text`, repaired where it must be: then `keep` holds what is left of it, for the tree to borrow. `shown` says
/// of the name of a key whether its value may stand in a report even if the line is broken.
pub(crate) fn parse<'d>(text: &'d str, keep: &'d mut String, shown: fn(&str) -> bool) -> Parsed<'d> {
    let whole = build::build(text, 0, &BTreeSet::new());
    match whole.stop {
        None => Parsed {
            root: whole.root,
            faults: whole.faults,
            more: 0,
            broken: Broken::default(),
        },
        Some(build::Stop::Bound(fault)) => Parsed {
            root: None,
            faults: vec![fault],
            more: 0,
            broken: Broken::default(),
        },
        Some(build::Stop::Syntax { .. }) => repaired(text, keep, shown),
    }
}

fn repaired<'d>(text: &str, keep: &'d mut String, shown: fn(&str) -> bool) -> Parsed<'d> {
    let mut repaired = repair::repair(text, shown);
    *keep = std::mem::take(&mut repaired.clean);
    if keep.contains('*') {
        repair::repair_whole(keep, shown, &mut repaired);
    }
    let again = build::build(keep, 0, &repaired.lost);
    repaired.faults.extend(again.faults);
    let root = match again.stop {
        None => again.root,
        // Sections that are well alone and not together; what was found is reported.
        Some(build::Stop::Syntax { at, info }) => {
            if repaired.faults.is_empty() {
                repaired.faults.push(explain::plain(at..at, &info));
            }
            None
        }
        Some(build::Stop::Bound(fault)) => {
            repaired.faults.push(fault);
            None
        }
    };
    Parsed {
        root,
        faults: repaired.faults,
        more: repaired.more,
        broken: repaired.broken,
    }
}
