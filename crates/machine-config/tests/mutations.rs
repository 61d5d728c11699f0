//! Faults planted into a valid document: every one must be reported, where it is, in one run.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use keelson_machine_config::{Severity, validate};
use proptest::prelude::*;

const DOCUMENT: &str = include_str!("accepted/every-key.toml");

/// A mistake that can be made on one line: which lines it fits, and what the line becomes.
struct Fault {
    name: &'static str,
    apply: fn(&str) -> Option<String>,
}

fn replace(line: &str, from: &str, to: &str) -> Option<String> {
    line.contains(from).then(|| line.replacen(from, to, 1))
}

/// The line's key if it is `key = value` on one line.
fn key(line: &str) -> Option<&str> {
    let (key, value) = line.split_once(" = ")?;
    let plain = key.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let closed = !value.ends_with(['[', '"']) || value.matches('"').count() >= 2;
    (plain && closed && !value.contains("'''") && !value.contains("\"\"\"") && !value.ends_with('[')).then_some(key)
}

const FAULTS: [Fault; 16] = [
    Fault {
        name: "misspelt key",
        apply: |line| key(line).map(|k| line.replacen(k, &format!("{k}x"), 1)),
    },
    Fault {
        name: "no equals sign",
        apply: |line| key(line).and_then(|_| replace(line, " = ", " ")),
    },
    Fault {
        name: "colon",
        apply: |line| key(line).and_then(|_| replace(line, " = ", ": ")),
    },
    Fault {
        name: "string not closed",
        apply: |line| key(line).and(line.strip_suffix('"')).map(str::to_owned),
    },
    Fault {
        name: "no value",
        apply: |line| key(line).map(|k| format!("{k} =")),
    },
    Fault {
        name: "date",
        apply: |line| key(line).map(|k| format!("{k} = 2026-01-01")),
    },
    Fault {
        name: "header not closed",
        apply: |line| line.strip_prefix('[').and(line.strip_suffix(']')).map(str::to_owned),
    },
    Fault {
        name: "unknown table",
        apply: |line| line.strip_prefix('[').and(replace(line, "container.", "kontainer.")),
    },
    Fault {
        name: "bad word",
        apply: |line| replace(line, "unless-stopped", "sometimes"),
    },
    Fault {
        name: "bad image",
        apply: |line| replace(line, "\"busybox\"", "\"Busy Box\""),
    },
    Fault {
        name: "bad port",
        apply: |line| replace(line, "8080:80", "808080:80"),
    },
    Fault {
        name: "bad size",
        apply: |line| replace(line, "128M", "128MB"),
    },
    Fault {
        name: "unknown secret",
        apply: |line| replace(line, "secret = \"db\"", "secret = \"bd\""),
    },
    Fault {
        name: "unknown volume",
        apply: |line| replace(line, "source = \"data\"", "source = \"date\""),
    },
    Fault {
        name: "relative path",
        apply: |line| replace(line, "\"/srv\"", "\"srv\""),
    },
    Fault {
        name: "bad host name",
        apply: |line| replace(line, "web-1.example", "web_1.example"),
    },
];

/// Lines (from 0) that a fault fits.
fn sites(fault: &Fault, lines: &[&str]) -> Vec<usize> {
    let fits = |(at, line): (usize, &&str)| (fault.apply)(line).map(|_| at);
    // Tables of other tools may hold anything.
    let team = lines.iter().position(|line| *line == "[x-team]").unwrap_or(0);
    lines
        .iter()
        .enumerate()
        .filter(|(at, _)| !(team..team + 3).contains(at))
        .filter_map(fits)
        .collect()
}

fn plant(choices: &[(usize, usize)]) -> (String, Vec<(usize, &'static str)>) {
    let lines: Vec<&str> = DOCUMENT.lines().collect();
    let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let mut planted: Vec<(usize, &'static str)> = Vec::new();
    for (fault, site) in choices {
        let fault = &FAULTS[fault % FAULTS.len()];
        let sites = sites(fault, &lines);
        let at = sites[site % sites.len()];
        // A fault in the header of a table, or two in one line, can hide what stands below.
        // Two headers of one misspelt table are one mistake.
        let same_table = fault.name == "unknown table" && planted.iter().any(|(_, name)| *name == fault.name);
        if same_table || planted.iter().any(|(other, _)| other.abs_diff(at) < 2) {
            continue;
        }
        changed[at] = (fault.apply)(lines[at]).unwrap();
        planted.push((at + 1, fault.name));
    }
    (changed.join("\n") + "\n", planted)
}

/// The planted faults that no error points at.
fn missed(text: &str, planted: &[(usize, &'static str)]) -> Vec<(usize, &'static str)> {
    let report = validate("t", text.as_bytes()).report;
    let errors = report.diagnostics.iter().filter(|d| d.severity == Severity::Error);
    let lines: Vec<usize> = errors.map(|d| d.place.line).collect();
    let unseen = planted
        .iter()
        .filter(|(line, _)| !lines.iter().any(|l| l.abs_diff(*line) <= 1));
    unseen.copied().collect()
}

#[test]
fn every_single_fault_is_reported_at_its_place_and_alone() {
    let lines: Vec<&str> = DOCUMENT.lines().collect();
    for (index, fault) in FAULTS.iter().enumerate() {
        let sites = sites(fault, &lines);
        assert!(!sites.is_empty(), "{} fits nowhere", fault.name);
        for site in 0..sites.len() {
            let (text, planted) = plant(&[(index, site)]);
            assert_eq!(missed(&text, &planted), [], "\n{text}");
            let report = validate("t", text.as_bytes()).report;
            // One consequence is tolerated: what a lost line declared is missed elsewhere.
            assert!(
                report.errors() <= 2,
                "{} at {planted:?}: {:#?}",
                fault.name,
                report.lines().collect::<Vec<_>>()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn several_faults_are_reported_in_one_run(choices in prop::collection::vec((0..64_usize, 0..1000_usize), 1..=5)) {
        let (text, planted) = plant(&choices);
        prop_assert_eq!(missed(&text, &planted), vec![], "\n{}", text);
    }

    #[test]
    fn any_bytes_are_answered(data in prop::collection::vec(any::<u8>(), 0..400)) {
        keelson_machine_config::fuzz::document(&data);
    }

    #[test]
    fn a_damaged_document_is_answered(
        edits in prop::collection::vec((0..DOCUMENT.len(), any::<u8>(), 0..3_u8), 1..12)
    ) {
        let mut bytes = DOCUMENT.as_bytes().to_vec();
        for (at, byte, edit) in edits {
            let at = at % bytes.len().max(1);
            match edit {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        keelson_machine_config::fuzz::document(&bytes);
        let shown = format!("{:?}", validate("t", &bytes).report);
        prop_assert!(!shown.contains("canary"), "{}", shown);
    }
}
