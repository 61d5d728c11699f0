//! Network configurations of other tools named after their point, with the report and the network that each gives.
//! `KEELSON_BLESS=1` writes them anew.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use keelson_machine_config::Fate;
use keelson_machine_config::network_config::{NetworkFormat, NetworkVerdict, keys, validate, verdict_table};
use keelson_machine_config::render::{Style, human};
use support::{compare, package};

fn inputs() -> Vec<PathBuf> {
    support::documents("network-config", &["yaml", "json"], 5)
}

fn check(path: &Path) -> NetworkVerdict {
    let name = path.file_name().unwrap().to_str().unwrap();
    let format = match name.starts_with("openstack") {
        true => NetworkFormat::OpenStack,
        false => NetworkFormat::CloudInit,
    };
    validate(name, &fs::read(path).unwrap(), format)
}

#[test]
fn each_gives_its_report_and_its_network() {
    for path in inputs() {
        let verdict = check(&path);
        let mut text = human(&verdict.report, Style::Plain);
        if let Some(network) = &verdict.accepted {
            text += &serde_json::to_string_pretty(network).unwrap();
            text.push('\n');
        }
        let good = !["mistakes", "syntax", "eni", "version-3", "empty"]
            .iter()
            .any(|bad| path.to_str().unwrap().contains(bad));
        assert_eq!(verdict.accepted.is_some(), good, "{}:\n{text}", path.display());
        compare(&path.with_extension("txt"), &text);
    }
}

/// The keys of all maps in a text that is known to be YAML, counted by the parser of events.
fn count(text: &str) -> usize {
    use saphyr_parser::{Event, Parser};
    // Whether a map expects a key next, for each collection that is open.
    let mut open: Vec<Option<bool>> = Vec::new();
    let mut keys = 0;
    for event in Parser::new_from_str(text) {
        let starts = matches!(
            event.as_ref().unwrap().0,
            Event::MappingStart(..) | Event::SequenceStart(..)
        );
        let ends = matches!(event.as_ref().unwrap().0, Event::MappingEnd | Event::SequenceEnd);
        let scalar = matches!(event.as_ref().unwrap().0, Event::Scalar(..));
        if ends {
            open.pop();
        }
        if (starts || scalar)
            && let Some(Some(key)) = open.last_mut()
        {
            keys += usize::from(*key);
            *key = !*key;
        }
        if starts {
            open.push(matches!(event.unwrap().0, Event::MappingStart(..)).then_some(true));
        }
    }
    keys
}

#[test]
fn every_key_has_a_fate() {
    for path in inputs() {
        let text = fs::read_to_string(&path).unwrap();
        if path.to_str().unwrap().contains("syntax") || path.to_str().unwrap().contains("eni") {
            continue;
        }
        let verdict = check(&path);
        assert_eq!(
            verdict.fates.len(),
            count(&text),
            "{}: {:?}",
            path.display(),
            verdict.fates
        );
        assert!(verdict.accepted.is_none() || !verdict.fates.contains(&Fate::Refused));
    }
}

#[test]
fn every_honoured_key_stands_in_an_accepted_configuration() {
    let texts: Vec<String> = inputs()
        .iter()
        .filter(|path| check(path).accepted.is_some())
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let all = texts.join("\n");
    for row in keys::SECTIONS
        .iter()
        .flat_map(|section| section.rows())
        .filter(|row| row.verdict.is_honoured())
    {
        let spellings = [
            row.key.to_owned(),
            row.key.replace('-', "_"),
            row.key.replace("bond-", ""),
        ];
        let there = spellings
            .iter()
            .any(|key| all.contains(&format!("{key}:")) || all.contains(&format!("\"{key}\":")));
        assert!(there, "{}", row.key);
    }
}

#[test]
fn the_page_holds_the_verdict_table() {
    let page = package().join("../../docs/formats/network-config.md");
    let text = fs::read_to_string(&page).unwrap();
    let (head, _) = text.split_once("## Verdicts\n").unwrap();
    compare(&page, &format!("{head}## Verdicts\n{}", verdict_table()));
}
