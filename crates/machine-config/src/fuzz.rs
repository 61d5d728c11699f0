//! Entry points for fuzzing: each takes any bytes and must not panic.

use crate::{Fate, Severity};

/// A whole document. Whatever is accepted gives JSON that reads back equal.
pub fn document(data: &[u8]) {
    let verdict = crate::validate("fuzz", data);
    let listed = verdict
        .report
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .count();
    assert!(listed <= crate::diagnostic::MAX_ERRORS);
    assert_eq!(verdict.accepted.is_some(), verdict.report.errors() == 0);
    let _ = crate::render::human(&verdict.report, crate::render::Style::Plain);
    let _ = serde_json::to_string(&verdict.report);
    if let Some(accepted) = verdict.accepted {
        let read = serde_json::to_string(&accepted.config).and_then(|json| serde_json::from_str(&json));
        assert_eq!(read.ok().as_ref(), Some(&accepted.config));
        assert!(!verdict.fates.contains(&Fate::Refused));
    }
}

/// A cloud-config, whatever its first line. Each mistake has a place within the text.
pub fn cloud_config(data: &[u8]) {
    let verdict = crate::validate_as("fuzz", data, crate::Format::CloudConfig);
    assert_eq!(verdict.accepted.is_some(), verdict.report.errors() == 0);
    let _ = crate::render::human(&verdict.report, crate::render::Style::Plain);
    if let Some(accepted) = verdict.accepted {
        let read = serde_json::to_string(&accepted.config).and_then(|json| serde_json::from_str(&json));
        assert_eq!(read.ok().as_ref(), Some(&accepted.config));
        assert!(!verdict.fates.contains(&Fate::Refused));
    }
}

/// A text in YAML, repaired if need be.
pub fn yaml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut keep = String::new();
    let parsed = crate::yaml::parse(&text, &mut keep, |_| false);
    for fault in &parsed.faults {
        assert!(fault.range.start <= text.len() && fault.hidden.end <= text.len());
    }
}

/// The configuration in force, as programs read it.
pub fn machine_json(data: &[u8]) {
    let _ = serde_json::from_slice::<crate::MachineConfig>(data);
}

/// A network configuration of each form. Whatever is accepted passes the native rules and reads back equal.
pub fn network_config(data: &[u8]) {
    use crate::network_config::{NetworkFormat, validate};
    for format in [NetworkFormat::CloudInit, NetworkFormat::OpenStack] {
        let verdict = validate("fuzz", data, format);
        assert_eq!(verdict.accepted.is_some(), verdict.report.errors() == 0);
        let _ = crate::render::human(&verdict.report, crate::render::Style::Plain);
        if let Some(network) = verdict.accepted {
            let read = serde_json::to_string(&network).and_then(|json| serde_json::from_str(&json));
            assert_eq!(read.ok().as_ref(), Some(&network));
            assert!(!verdict.fates.contains(&Fate::Refused));
        }
    }
}
