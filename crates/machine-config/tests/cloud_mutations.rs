//! Faults planted into a valid cloud-config: every one must be reported, where it is, in one run.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use keelson_machine_config::{Severity, fuzz, validate};
use proptest::prelude::*;

const DOCUMENT: &str = include_str!("cloud/accepted/rich.yaml");

/// A mistake that can be made on one line: which lines it fits, and what the line becomes.
struct Fault {
    name: &'static str,
    apply: fn(&str) -> Option<String>,
}

fn replace(line: &str, from: &str, to: &str) -> Option<String> {
    line.contains(from).then(|| line.replacen(from, to, 1))
}

/// The line's key and value if it is `KEY: VALUE` on one line.
fn pair(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.trim_start_matches([' ', '-']).split_once(": ")?;
    let plain = key.chars().all(|c| c.is_ascii_lowercase() || "_-".contains(c));
    (plain && key != "docker" && !value.starts_with(['|', '>', '!', '{'])).then_some((key, value))
}

const FAULTS: [Fault; 12] = [
    Fault {
        name: "misspelt key",
        apply: |line| pair(line).map(|(key, _)| line.replacen(key, &format!("{key}x"), 1)),
    },
    Fault {
        name: "no colon",
        apply: |line| {
            pair(line)
                .and_then(|_| replace(line, ": ", " "))
                .filter(|line| !line.contains(": "))
        },
    },
    Fault {
        name: "no space behind the colon",
        apply: |line| {
            pair(line)
                .and_then(|_| replace(line, ": ", ":"))
                .filter(|line| !line.contains(": ") && !line.contains(['"', '[']))
        },
    },
    Fault {
        name: "equals sign",
        apply: |line| {
            pair(line)
                .and_then(|_| replace(line, ": ", " = "))
                .filter(|line| !line.contains(": "))
        },
    },
    Fault {
        name: "quote not closed",
        apply: |line| {
            pair(line)
                .filter(|(_, value)| value.starts_with('"'))
                .and(line.strip_suffix('"'))
                .map(str::to_owned)
        },
    },
    Fault {
        name: "bracket not closed",
        apply: |line| {
            pair(line)
                .filter(|(_, value)| value.starts_with('['))
                .and(line.strip_suffix(']'))
                .map(str::to_owned)
        },
    },
    Fault {
        name: "one space more",
        apply: |line| {
            pair(line)
                .filter(|_| line.starts_with("    ") && !line.contains("- "))
                .map(|_| format!(" {line}"))
        },
    },
    Fault {
        name: "tab",
        apply: |line| {
            pair(line)
                .and(line.strip_prefix("    "))
                .filter(|line| !line.contains("- "))
                .map(|line| format!("\t{line}"))
        },
    },
    Fault {
        name: "a colon in the value",
        apply: |line| {
            pair(line)
                .filter(|(_, value)| value.chars().all(|c| c.is_ascii_alphanumeric()))
                .map(|_| format!("{line}: x"))
        },
    },
    Fault {
        name: "a reserved character",
        apply: |line| {
            pair(line)
                .and_then(|_| replace(line, ": ", ": @"))
                .filter(|line| !line.contains(['"', '[']))
        },
    },
    Fault {
        name: "bad time zone",
        apply: |line| replace(line, "Europe/Berlin", "Europe/Berlinn"),
    },
    Fault {
        name: "bad path",
        apply: |line| replace(line, "path: /", "path: /usr/"),
    },
];

/// Lines (from 0) that a fault fits.
fn sites(fault: &Fault, lines: &[&str]) -> Vec<usize> {
    // Blocks of text may hold anything.
    let inside = |line: &str| line.starts_with("      ") && !line.contains("ssh-ed25519");
    let fits = |(at, line): (usize, &&str)| (fault.apply)(line).filter(|_| !inside(line)).map(|_| at);
    lines.iter().enumerate().skip(1).filter_map(fits).collect()
}

fn plant(choices: &[(usize, usize)]) -> (String, Vec<(usize, &'static str)>) {
    let lines: Vec<&str> = DOCUMENT.lines().collect();
    let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let mut planted: Vec<(usize, &'static str)> = Vec::new();
    for (fault, site) in choices {
        let fault = &FAULTS[fault % FAULTS.len()];
        let sites = sites(fault, &lines);
        let at = sites[site % sites.len()];
        if planted.iter().any(|(other, _)| other.abs_diff(at + 1) < 2) {
            continue;
        }
        changed[at] = (fault.apply)(lines[at]).unwrap();
        planted.push((at + 1, fault.name));
    }
    (changed.join("\n") + "\n", planted)
}

/// The planted faults that no error points at, within a line.
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
fn every_single_fault_is_reported_at_its_place_and_nearly_alone() {
    let lines: Vec<&str> = DOCUMENT.lines().collect();
    let mut wrong = Vec::new();
    for (index, fault) in FAULTS.iter().enumerate() {
        let sites = sites(fault, &lines);
        assert!(!sites.is_empty(), "{} fits nowhere", fault.name);
        for site in 0..sites.len() {
            let (text, planted) = plant(&[(index, site)]);
            let report = validate("t", text.as_bytes()).report;
            // One consequence is tolerated: what a lost line declared is missed elsewhere.
            if !missed(&text, &planted).is_empty() || report.errors() > 2 {
                let errors: Vec<String> = report.lines().filter(|line| line.contains("error")).collect();
                let line = text.lines().nth(planted[0].0 - 1).unwrap().to_owned();
                wrong.push(format!("{planted:?} {line:?}: {errors:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn up_to_five_faults_are_reported_in_one_run(choices in prop::collection::vec((0..64_usize, 0..1000_usize), 1..=5)) {
        let (text, planted) = plant(&choices);
        prop_assert_eq!(missed(&text, &planted), vec![], "\n{}", text);
    }

    #[test]
    fn any_bytes_are_answered(data in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz::cloud_config(&data);
        fuzz::yaml(&data);
    }

    #[test]
    fn a_damaged_document_is_answered(
        edits in prop::collection::vec((0..DOCUMENT.len(), prop::sample::select(b" \t\n-:#[]{}\"'|>&*!%@,x\xff".to_vec()), 0..3_u8), 1..12)
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
        fuzz::cloud_config(&bytes);
        fuzz::yaml(&bytes);
        let shown = format!("{:?}", validate("t", &bytes).report);
        prop_assert!(!shown.contains("canary"), "{}", shown);
    }
}
