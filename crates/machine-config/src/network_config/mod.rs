//! Network configurations of other tools: network-config of version 1 and 2 (YAML or JSON) and OpenStack's
//! `network_data.json`. All become the [`Network`] of the native document and pass its rules.
//!
//! Every key has a row in the tables of [`keys`]: it is honoured, noted as without effect, or refused. One that has no
//! row is unknown. So none is ignored silently.

pub mod keys;
mod links;
mod openstack;
mod page;
mod reader;
mod v1;
mod v2;

use std::collections::BTreeMap;

pub use page::verdict_table;

use crate::check::network::{Scene, check, machine_servers};
use crate::check::sink::{self, Finding, Findings};
use crate::diagnostic::{Code, Report};
use crate::model::network::Network;
use crate::text::Text;
use crate::value::Name;
use crate::yaml::{self, Node};
use crate::{Fate, MAX_DOCUMENT};
use reader::Reader;

/// How the bytes are written; what they say tells the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFormat {
    /// Version 1 or 2, in YAML or JSON.
    CloudInit,
    /// OpenStack's `network_data.json`.
    OpenStack,
}

/// The answer to a network configuration.
#[derive(Debug)]
pub struct NetworkVerdict {
    /// What it asks for; present exactly when the report holds no error. Without a word in it there is nothing to set
    /// up, which is not the same as no network: then `Some(None)`.
    pub accepted: Option<Option<Network>>,
    /// What was found; warnings do not refuse.
    pub report: Report,
    /// What became of each key, in the order of the text.
    pub fates: Vec<Fate>,
}

/// Checks a network configuration. `file` is its name in the report.
#[must_use]
pub fn validate(file: &str, bytes: &[u8], format: NetworkFormat) -> NetworkVerdict {
    let refuse = |message: &str, cure: &str| {
        let finding = Finding::error(Code::NotText, 0..0, "", message).cure(cure);
        NetworkVerdict {
            accepted: None,
            report: sink::report(file, Findings::from_iter([finding]), &Text::new("")),
            fates: Vec::new(),
        }
    };
    if bytes.len() > MAX_DOCUMENT {
        return refuse("the network configuration is too long", "shorten it");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => validate_text(file, text, format),
        Err(_) => refuse("the network configuration is not UTF-8 text", "save it as UTF-8"),
    }
}

fn validate_text(file: &str, original: &str, format: NetworkFormat) -> NetworkVerdict {
    let mut keep = String::new();
    let original = original.trim_start_matches('\u{feff}');
    let parsed = yaml::parse(original, &mut keep, |_| true);
    let text = Text::new(original);
    let mut reader = Reader::new(!parsed.faults.is_empty());
    for fault in parsed.faults {
        let finding = Finding::error(fault.code, fault.range, "", fault.message);
        reader.findings.push(finding.cure(fault.cure.unwrap_or_default()));
    }
    reader.findings.count(parsed.more);
    let asked = parsed.root.as_ref().is_some_and(|root| read(&mut reader, root, format));
    if parsed.root.is_none() && !reader.broken {
        let finding = Finding::error(Code::MissingKey, 0..0, "", "the network configuration is empty");
        reader.findings.push(finding.cure("leave the file out"));
    }
    conclude(file, reader, asked, &text)
}

/// Reads the whole tree; false when it asks for nothing.
fn read(reader: &mut Reader, root: &Node<'_>, format: NetworkFormat) -> bool {
    if format == NetworkFormat::OpenStack {
        openstack::read(reader, root);
        return true;
    }
    let Some(map) = root.map() else {
        not_a_map(reader, root);
        return true;
    };
    let inner = match map.get("network") {
        Some(entry) => {
            reader.only(map, &keys::WRAPPER, "");
            &entry.value
        }
        None => root,
    };
    let version = inner.map().and_then(|map| map.get("version"));
    match version.map(|entry| (entry.value.integer(), &entry.value)) {
        Some((Some(1), _)) => v1::read(reader, inner),
        Some((Some(2), _)) => {
            v2::read(reader, inner);
            true
        }
        Some((_, value)) => {
            reader.refuse_all(inner);
            let finding = Finding::error(
                Code::UnsupportedSchema,
                value.span.clone(),
                "version",
                "this is no known version",
            );
            reader.findings.push(finding.cure("write 1 or 2"));
            true
        }
        None if reader.broken => true,
        None => {
            reader.refuse_all(inner);
            let message = "this is no network configuration: it has no `version`";
            let finding = Finding::error(Code::MissingKey, inner.span.start..inner.span.start, "", message);
            let cure = "write `version: 1` or `version: 2`; the files of ifupdown (ENI) are not read";
            reader.findings.push(finding.cure(cure));
            true
        }
    }
}

/// Something else than a map: a file of ifupdown, which some sources still give, or nothing known.
fn not_a_map(reader: &mut Reader, root: &Node<'_>) {
    let text = root.scalar().map(|scalar| scalar.text.as_ref()).unwrap_or_default();
    let words = ["auto", "iface", "allow-hotplug", "source"];
    if !words.contains(&text.split_whitespace().next().unwrap_or_default()) {
        reader.wrong_type(root, "", "a map");
        return;
    }
    let message = "this is a file of ifupdown (ENI), which is not read";
    let cure = "write a network-config of version 2";
    reader.error(Code::ForeignFormat, &root.span, "", message, cure);
}

fn conclude(file: &str, mut reader: Reader, asked: bool, text: &Text<'_>) -> NetworkVerdict {
    let mut findings = std::mem::take(&mut reader.findings);
    let scene = Scene {
        links: &reader.links,
        places: &reader.spots,
        incomplete: reader.broken,
    };
    check(scene, &mut findings);
    let dns = reader.dns.clone();
    machine_servers(
        &dns,
        |index| reader.spots.at("", &format!("servers[{index}]")),
        &mut findings,
    );
    let report = sink::report(file, findings, text);
    let accepted = (report.errors() == 0).then(|| asked.then(|| network(&reader)));
    NetworkVerdict {
        accepted,
        report,
        fates: reader.fates.into_values().collect(),
    }
}

fn network(reader: &Reader) -> Network {
    let links = reader.links.iter().filter_map(|(name, link)| {
        let name: Name = name.parse().ok()?;
        Some((name, link.clone()?))
    });
    Network {
        links: links.collect::<BTreeMap<_, _>>(),
        dns: reader.dns.clone(),
    }
}
