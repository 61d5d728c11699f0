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

/// The configuration in force, as programs read it.
pub fn machine_json(data: &[u8]) {
    let _ = serde_json::from_slice::<crate::MachineConfig>(data);
}
