//! Every error that any document here gives, in any format: it says where, and what to write instead.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod support;

use std::fs;
use std::path::Path;

use keelson_machine_config::network_config::{self, NetworkFormat};
use keelson_machine_config::{Report, Severity, validate};
use proptest::prelude::*;
use support::faults::damaged;

/// The reports of all documents, each with its text.
fn reports() -> Vec<(String, Report)> {
    let documents = ["refused", "accepted"].map(|folder| support::documents(folder, &["toml"], 5));
    let clouds = ["refused", "accepted"].map(|folder| support::documents(&format!("cloud/{folder}"), &["yaml"], 4));
    let networks = support::documents("network-config", &["yaml", "json"], 5);
    let of_document = |path: &Path| validate(&path.display().to_string(), &fs::read(path).unwrap()).report;
    let of_network = |path: &Path| {
        let json = path.extension().unwrap() == "json";
        let format = if json {
            NetworkFormat::OpenStack
        } else {
            NetworkFormat::CloudInit
        };
        network_config::validate(&path.display().to_string(), &fs::read(path).unwrap(), format).report
    };
    let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let documents = documents
        .iter()
        .chain(&clouds)
        .flatten()
        .map(|path| (text(path), of_document(path)));
    documents
        .chain(networks.iter().map(|path| (text(path), of_network(path))))
        .collect()
}

/// The errors of a report that lack a place in the text or a cure.
fn without(text: &str, report: &Report) -> Vec<String> {
    let lines = text.lines().count() + 1;
    let errors = report
        .diagnostics
        .iter()
        .filter(|found| found.severity == Severity::Error);
    let good = |line, column, cure: Option<&str>| {
        (1..=lines).contains(&line) && column >= 1 && cure.is_some_and(|cure| !cure.is_empty())
    };
    errors
        .filter(|error| !good(error.place.line, error.place.column, error.cure.as_deref()))
        .map(|error| error.line(&report.file))
        .collect()
}

#[test]
fn every_error_has_a_place_and_a_cure() {
    let reports = reports();
    let errors: usize = reports.iter().map(|(_, report)| report.errors()).sum();
    let wrong: Vec<String> = reports
        .iter()
        .flat_map(|(text, report)| without(text, report))
        .collect();
    assert!(errors > 400, "{errors}");
    assert!(wrong.is_empty(), "{} of {errors}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Bytes that mean something in one of the formats.
const MARKS: &[u8] = b" \t\n-:=#[]{}\"'|>&*!%@,.x1\\\xff";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_document_gives_no_error_without_place_and_cure(
        edits in prop::collection::vec((0..1_usize << 20, prop::sample::select(MARKS), 0..3_u8), 1..12)
    ) {
        let documents = [
            include_str!("accepted/every-key.toml"),
            include_str!("cloud/accepted/rich.yaml"),
            include_str!("network-config/v1-everything.yaml"),
            include_str!("network-config/v2-everything.yaml"),
            include_str!("network-config/openstack.json"),
        ];
        for document in documents {
            let bytes = damaged(document, edits.clone());
            let text = String::from_utf8_lossy(&bytes);
            let format = if text.contains("\"links\"") { NetworkFormat::OpenStack } else { NetworkFormat::CloudInit };
            for report in [validate("t", &bytes).report, network_config::validate("t", &bytes, format).report] {
                let wrong = without(&text, &report);
                prop_assert!(wrong.is_empty(), "{:#?}\n{}", wrong, text);
            }
        }
    }
}
