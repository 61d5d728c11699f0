//! Faults planted into a valid document: every one must be reported, where it is, in one run.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod support;

use keelson_machine_config::validate;
use proptest::prelude::*;
use support::faults::{Fault, Field, damaged, missed, replace};

const DOCUMENT: &str = include_str!("accepted/every-key.toml");

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

const FIELD: Field = Field {
    document: DOCUMENT,
    faults: &FAULTS,
    open,
    // Two headers of one misspelt table are one mistake.
    once: &["unknown table"],
};

/// Tables of other tools may hold anything.
fn open(at: usize, _: &str) -> bool {
    let team = DOCUMENT.lines().position(|line| line == "[x-team]").unwrap_or(0);
    !(team..team + 3).contains(&at)
}

#[test]
fn every_single_fault_is_reported_at_its_place_and_alone() {
    FIELD.every_single_fault_is_reported();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn several_faults_are_reported_in_one_run(choices in prop::collection::vec((0..64_usize, 0..1000_usize), 1..=5)) {
        let (text, planted) = FIELD.plant(&choices);
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
        let bytes = damaged(DOCUMENT, edits);
        keelson_machine_config::fuzz::document(&bytes);
        let shown = format!("{:?}", validate("t", &bytes).report);
        prop_assert!(!shown.contains("canary"), "{}", shown);
    }
}
