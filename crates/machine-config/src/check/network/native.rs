//! The rules applied to the native document.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Links, Places, Scene, machine_servers};
use crate::check::at::dotted;
use crate::check::sink::Findings;
use crate::check::string;
use crate::check::view::View;
use crate::diagnostic::Code;
use crate::model::network::NameServers;
use crate::schema::{self, Key, Kind};
use crate::syntax::Broken;

/// Applies the rules to `[network]`: `json` is what the walk could read of it.
pub(in crate::check) fn check(root: View<'_, '_>, json: &Json, broken: &Broken, out: &mut Findings) {
    let (Some(network), Some(json)) = (root.table("network"), json.get("network")) else {
        return;
    };
    let written = Written(network.table);
    let links: Links = network
        .tables("link")
        .iter()
        .map(|view| {
            let read = json.get("link").and_then(|links| links.get(view.name));
            let link = read.and_then(|link| serde_json::from_value(link.clone()).ok());
            (view.name.to_owned(), link)
        })
        .collect();
    let scene = Scene {
        links: &links,
        places: &written,
        incomplete: broken.tables,
    };
    super::check(scene, out);
    for link in network.tables("link") {
        let empty = link.table("match").filter(|view| view.table.is_empty());
        if empty.is_some() && !broken.tables {
            let message = "`match` names no condition";
            let finding = scene.finding(Code::Contradiction, link.name, "match", message);
            out.push(finding.cure("add `mac`, `driver` or `name`, or leave it out"));
        }
    }
    let dns = json.get("dns").cloned().unwrap_or_default();
    let dns: NameServers = serde_json::from_value(dns).unwrap_or_default();
    machine_servers(&dns, |index| written.at(&["dns", &format!("servers[{index}]")]), out);
}

/// Finds what stands at a path of the table `[network]`.
struct Written<'t, 'i>(&'t DeTable<'i>);

impl Written<'_, '_> {
    /// The place of the value at a path, or of the last table on the way that is there.
    fn at(&self, path: &[&str]) -> (Range<usize>, String) {
        let names: Vec<String> = std::iter::once("network")
            .chain(path.iter().copied().filter(|part| !part.is_empty()))
            .map(str::to_owned)
            .collect();
        let mut table = self.0;
        let mut pattern = "network";
        let mut span = 0..0;
        for part in path.iter().filter(|part| !part.is_empty()) {
            let (name, index) = element(part);
            let Some((key, value)) = table.get_key_value(name) else {
                break;
            };
            let row = schema::child(pattern, name);
            pattern = row.map_or("", |row| row.path);
            let value = match index {
                Some(index) => nth_kept(row, value.get_ref(), index),
                None => Some(value),
            };
            if index.is_some() {
                pattern = schema::element(pattern);
            }
            let Some(value) = value else { break };
            span = place_of(key.span(), value);
            let DeValue::Table(below) = value.get_ref() else { break };
            table = below;
        }
        (span, dotted(&names))
    }
}

/// The element of a list that became the one with this index: those that are wrong or there twice were left out.
fn nth_kept<'v, 'i>(row: Option<&Key>, value: &'v DeValue<'i>, index: usize) -> Option<&'v Spanned<DeValue<'i>>> {
    let DeValue::Array(array) = value else { return None };
    let mut seen = BTreeSet::new();
    let kept = array
        .iter()
        .filter(|value| match (row.map(|row| row.kind), value.get_ref()) {
            (Some(Kind::Texts(rule)), DeValue::String(text)) => {
                string::check(rule, text).is_ok_and(|json| seen.insert(json.to_string()))
            }
            (_, value) => value.is_table(),
        });
    kept.into_iter().nth(index)
}

/// A table is pointed at by its name, a value by itself.
fn place_of(key: Range<usize>, value: &Spanned<DeValue<'_>>) -> Range<usize> {
    match value.get_ref() {
        DeValue::Table(_) => key,
        _ => value.span(),
    }
}

/// `routes[1]` as its name and index.
fn element(part: &str) -> (&str, Option<usize>) {
    match part.strip_suffix(']').and_then(|part| part.split_once('[')) {
        Some((name, index)) => (name, index.parse().ok()),
        None => (part, None),
    }
}

impl Places for Written<'_, '_> {
    fn place(&self, link: &str, path: &str) -> (Range<usize>, String) {
        let parts: Vec<&str> = ["link", link].into_iter().chain(path.split('.')).collect();
        self.at(&parts)
    }
}
