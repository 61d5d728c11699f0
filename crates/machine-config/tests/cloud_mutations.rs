//! Faults planted into a valid cloud-config: every one must be reported, where it is, in one run.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod support;

use keelson_machine_config::{fuzz, validate};
use proptest::prelude::*;
use support::faults::{Fault, Field, damaged, missed, replace};

const DOCUMENT: &str = include_str!("cloud/accepted/rich.yaml");

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

const FIELD: Field = Field {
    document: DOCUMENT,
    faults: &FAULTS,
    open,
    once: &[],
};

/// The header, and blocks of text, which may hold anything, are left alone.
fn open(at: usize, line: &str) -> bool {
    at > 0 && (!line.starts_with("      ") || line.contains("ssh-ed25519"))
}

#[test]
fn every_single_fault_is_reported_at_its_place_and_nearly_alone() {
    FIELD.every_single_fault_is_reported();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn up_to_five_faults_are_reported_in_one_run(choices in prop::collection::vec((0..64_usize, 0..1000_usize), 1..=5)) {
        let (text, planted) = FIELD.plant(&choices);
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
        let bytes = damaged(DOCUMENT, edits);
        fuzz::cloud_config(&bytes);
        fuzz::yaml(&bytes);
        let shown = format!("{:?}", validate("t", &bytes).report);
        prop_assert!(!shown.contains("canary"), "{}", shown);
    }
}
