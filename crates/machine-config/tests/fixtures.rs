//! Documents named after their point, with the report that each must give. `KEELSON_BLESS=1` writes the reports anew.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a failure is a failed test")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use keelson_machine_config::render::{Style, human};
use keelson_machine_config::schema::{KEYS, Key, Kind};
use keelson_machine_config::{Accepted, Fate, validate};
use serde_json::Value as Json;
use support::{check, compare, package};

fn documents(folder: &str) -> Vec<PathBuf> {
    support::documents(folder, &["toml"], 5)
}

fn accepted(text: &str) -> Accepted {
    let verdict = validate("t", text.as_bytes());
    let report = human(&verdict.report, Style::Plain);
    verdict.accepted.unwrap_or_else(|| panic!("{report}"))
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
fn the_reference_page_is_the_key_table() {
    let page = package().join("../../docs/formats/machine-config.md");
    compare(&page, &keelson_machine_config::schema::reference_page());
}

#[test]
fn no_report_shows_a_secret() {
    for path in documents("refused").into_iter().chain(documents("accepted")) {
        let verdict = check(&path);
        let shown = human(&verdict.report, Style::Plain) + &serde_json::to_string(&verdict.report).unwrap();
        let lines: Vec<String> = verdict.report.lines().collect();
        for text in [shown, lines.join("\n")] {
            assert!(!text.contains("canary"), "{}:\n{text}", path.display());
        }
        if let Some(accepted) = verdict.accepted {
            let config = serde_json::to_string(&accepted.config).unwrap();
            assert!(
                !config.contains("canary") && !accepted.redacted.contains("canary"),
                "{}",
                path.display()
            );
        }
    }
}

/// Every key of a TOML document with its path in the key table's notation.
fn paths(value: &toml::Value, parent: &str, out: &mut Vec<(String, toml::Value)>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let row = keelson_machine_config::schema::child(parent, name);
                let path = row.map_or_else(|| format!("{parent}.{name}?"), |row| row.path.to_owned());
                out.push((path.clone(), value.clone()));
                paths(value, &path, out);
            }
        }
        toml::Value::Array(array) => array.iter().for_each(|value| paths(value, &format!("{parent}[]"), out)),
        _ => {}
    }
}

#[test]
fn every_key_of_the_table_reaches_the_configuration() {
    let path = package().join("tests/accepted/every-key.toml");
    let text = fs::read_to_string(path).unwrap();
    let document: toml::Value = toml::from_str(&text).unwrap();
    let mut found = Vec::new();
    paths(&document, "", &mut found);
    let present: BTreeSet<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    for Key { path, .. } in KEYS {
        assert!(
            present.contains(path),
            "{path} is not in the document that has every key"
        );
    }

    // Taking any one leaf away must change what the machine does, or be an error.
    let whole = serde_json::to_value(&accepted(&text).config).unwrap();
    for row in KEYS
        .iter()
        .filter(|row| !matches!(row.kind, Kind::Table | Kind::Map(_) | Kind::Tables))
    {
        if matches!(row.path, "requires" | "secrets.*.value" | "schema") {
            continue;
        }
        let mut without = document.clone();
        remove(&mut without, row.path);
        let verdict = validate("t", toml::to_string(&without).unwrap().as_bytes());
        let after = verdict
            .accepted
            .map(|accepted| serde_json::to_value(&accepted.config).unwrap());
        assert_ne!(after.as_ref(), Some(&whole), "{} has no effect", row.path);
    }
}

/// Removes every value at a path of the key table.
fn remove(value: &mut toml::Value, path: &str) {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let Some(table) = value.as_table_mut() else { return };
    let name = first.trim_end_matches("[]");
    if rest.is_empty() {
        if name == "*" {
            table.clear()
        } else {
            drop(table.remove(name))
        }
        return;
    }
    let below: Vec<&mut toml::Value> = match name {
        "*" => table.iter_mut().map(|(_, value)| value).collect(),
        _ => table.get_mut(name).into_iter().collect(),
    };
    for value in below {
        match value.as_array_mut() {
            Some(array) => array.iter_mut().for_each(|value| remove(value, rest)),
            None => remove(value, rest),
        }
    }
}

#[test]
fn every_key_of_every_document_has_a_fate() {
    for path in documents("accepted").into_iter().chain(documents("refused")) {
        let text = fs::read_to_string(&path).unwrap();
        let Ok(document) = toml::from_str::<toml::Value>(text.trim_start_matches('\u{feff}')) else {
            continue;
        };
        let mut keys = Vec::new();
        paths(&document, "", &mut keys);
        let verdict = check(&path);
        if verdict.fates.is_empty() {
            assert!(verdict.accepted.is_none());
            continue;
        }
        assert_eq!(
            verdict.fates.len(),
            keys.len(),
            "{}: {:?} {keys:#?}",
            path.display(),
            verdict.fates
        );
        assert!(verdict.accepted.is_none() || !verdict.fates.contains(&Fate::Refused));
    }
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_types() {
    let text = "schema = 1\n[[user]]\nname = \"ann\"\n[[file]]\npath = \"/srv/x\"\ncontent = \"\"\n\
                [power]\nafter-boot = \"reboot\"\n[update]\n[[update.probe]]\nname = \"p\"\nunit = \"u\"\n[install]\ndisk = \"smallest\"\n[registry.\"r.example\"]\n[container.c]\nimage = \"x\"\n\
                mounts = [{ type = \"tmpfs\", target = \"/t\" }]\n\
                [network.link.m]\n[network.link.c]\nroutes = [{ to = \"10.0.0.0/8\" }]\n\
                bond = { mode = \"802.3ad\", members = [\"m\"] }\n";
    let config = serde_json::to_value(&accepted(text).config).unwrap();
    for row in KEYS {
        let keelson_machine_config::schema::Presence::Default(default) = row.presence else {
            continue;
        };
        if matches!(row.path, "container.*.mounts" | "network.link.*.routes") {
            continue;
        }
        let expected: toml::Value = toml::from_str::<toml::Table>(&format!("x = {default}")).unwrap()["x"].clone();
        let pointer = row
            .path
            .replace("registry.*", "registry.r~example")
            .replace('*', "c")
            .replace("[]", ".0");
        let pointer = format!("/{}", pointer.replace('.', "/")).replace("r~example", "r.example");
        let actual = config.pointer(&pointer).unwrap_or(&Json::Null);
        assert_eq!(actual, &serde_json::to_value(&expected).unwrap(), "{}", row.path);
    }
}

#[test]
fn an_answer_takes_milliseconds() {
    let mut text = String::from("schema = 1\n");
    for i in 0..100 {
        text += &format!(
            "[container.c{i}]\nimage = \"r.example/a/b:{i}\"\nports = [\"{}:80\"]\nenv = {{ A = \"b\", C = \"d\" }}\n\
             limits = {{ memory = \"64M\" }}\nmounts = [{{ type = \"tmpfs\", target = \"/tmp\" }}]\n",
            8000 + i
        );
    }
    let best = (0..20).map(|_| {
        let start = std::time::Instant::now();
        assert!(validate("t", text.as_bytes()).accepted.is_some());
        start.elapsed()
    });
    let best = best.min().unwrap();
    println!("{} bytes took {best:?}", text.len());
    assert!(
        text.len() > 14_000 && best.as_millis() < 20,
        "{} bytes took {best:?}",
        text.len()
    );
}
