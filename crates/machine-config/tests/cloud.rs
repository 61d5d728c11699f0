//! cloud-configs named after their point, with the configuration or the report that each must give.
//! `KEELSON_BLESS=1` writes them anew.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use keelson_machine_config::render::{Style, human};
use keelson_machine_config::{Fate, cloud, validate};
use saphyr_parser::{Event, Parser};
use support::{check, compare, package};

fn documents(folder: &str) -> Vec<PathBuf> {
    support::documents(&format!("cloud/{folder}"), &["yaml"], 4)
}

#[test]
fn refused_documents_give_their_report() {
    support::refused_give_their_report(&documents("refused"));
}

#[test]
fn accepted_documents_give_their_configuration() {
    support::accepted_give_their_configuration(&documents("accepted"));
}

#[test]
fn the_reference_page_is_the_tables() {
    let page = package().join("../../docs/formats/cloud-config.md");
    compare(&page, &cloud::reference_page());
}

#[test]
fn no_report_shows_a_secret() {
    for path in documents("refused").into_iter().chain(documents("accepted")) {
        let verdict = check(&path);
        let shown = human(&verdict.report, Style::Plain) + &serde_json::to_string(&verdict.report).unwrap();
        assert!(!shown.contains("canary"), "{}:\n{shown}", path.display());
        if let Some(accepted) = verdict.accepted {
            let config = serde_json::to_string(&accepted.config).unwrap();
            assert!(
                !config.contains("canary") && !config.contains("Y2FuYXJ5"),
                "{}",
                path.display()
            );
            assert!(!accepted.redacted.contains("canary"), "{}", accepted.redacted);
        }
    }
}

/// The number of keys of a YAML text, counted by the events alone; `None` if it is not YAML or merges maps.
fn keys(text: &str) -> Option<usize> {
    // For each open collection: whether it is a map, and whether a key comes next.
    let mut open: Vec<(bool, bool)> = Vec::new();
    let mut keys = 0;
    let mut started = false;
    // Whether the key that may have ended is a text.
    let mut complete = |open: &mut Vec<(bool, bool)>, scalar: bool| {
        let Some((true, next_is_key)) = open.last_mut() else {
            return true;
        };
        let good = scalar || !*next_is_key;
        keys += usize::from(*next_is_key);
        *next_is_key = !*next_is_key;
        good
    };
    for event in Parser::new_from_str(text) {
        match event.ok()?.0 {
            Event::Scalar(text, ..) if text == "<<" => return None,
            Event::Scalar(..) => drop(complete(&mut open, true)),
            Event::Alias(_) => return None,
            // A second document is not read.
            Event::DocumentStart(_) if std::mem::replace(&mut started, true) => return None,
            Event::MappingStart(..) => open.push((true, true)),
            Event::SequenceStart(..) => open.push((false, false)),
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
                if !complete(&mut open, false) {
                    return None;
                }
            }
            _ => {}
        }
    }
    Some(keys)
}

#[test]
fn every_key_of_every_document_gets_one_verdict() {
    let mut counted = 0;
    for path in documents("accepted").into_iter().chain(documents("refused")) {
        let bytes = fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let verdict = validate("t", &bytes);
        let Some(keys) = keys(&text).filter(|_| text.trim_start_matches('\u{feff}').trim_start().starts_with('#'))
        else {
            continue;
        };
        let refused_by_format = verdict.fates.is_empty() && verdict.accepted.is_none();
        if !refused_by_format {
            assert_eq!(verdict.fates.len(), keys, "{}: {:?}", path.display(), verdict.fates);
            counted += keys;
        }
        assert!(verdict.accepted.is_none() || !verdict.fates.contains(&Fate::Refused));
    }
    assert!(counted > 100, "{counted}");
}

/// What is known of cloud-init's keys: each has a verdict here, even alone and with a value of any type.
#[test]
fn every_key_that_cloud_init_has_gets_a_verdict_whatever_its_value() {
    let values = ["x", "[x]", "{a: b}", "true", "1", "[{a: [b]}]", "null"];
    for key in cloud::known_keys() {
        for value in values {
            let text = format!("#cloud-config\n{key}: {value}\n");
            let verdict = validate("t", text.as_bytes());
            assert_eq!(verdict.fates.len(), keys(&text).unwrap(), "{text}");
            assert_ne!(verdict.fates.first(), Some(&Fate::Ignored), "{text}");
            let noted = verdict.fates.contains(&Fate::Noted);
            assert!(!noted || !verdict.report.diagnostics.is_empty(), "{text}");
            let refused = verdict.fates.contains(&Fate::Refused);
            assert!(!refused || verdict.accepted.is_none(), "{text}");
        }
    }
}

#[test]
fn keys_stand_in_the_table_once_and_in_order() {
    let keys = cloud::known_keys();
    let sorted: BTreeSet<&str> = keys.iter().copied().collect();
    assert_eq!(sorted.len(), keys.len());
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
}
