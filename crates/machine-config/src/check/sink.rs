//! Collects diagnostics.

use std::ops::Range;

use crate::diagnostic::{Code, Diagnostic, MAX_ERRORS, Report, Severity};
use crate::text::Text;

/// A diagnostic that is not yet placed: masks may still be added.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) code: Code,
    pub(crate) severity: Severity,
    pub(crate) range: Range<usize>,
    pub(crate) key: String,
    pub(crate) message: String,
    pub(crate) cure: Option<String>,
    pub(crate) related: Vec<(String, Range<usize>)>,
}

impl Finding {
    pub(crate) fn error(code: Code, range: Range<usize>, key: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            range,
            key: key.to_owned(),
            message: message.into(),
            cure: None,
            related: Vec::new(),
        }
    }

    pub(crate) fn warning(code: Code, range: Range<usize>, key: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, range, key, message)
        }
    }

    pub(crate) fn cure(self, cure: impl Into<String>) -> Self {
        let cure = cure.into();
        Self {
            cure: (!cure.is_empty()).then_some(cure),
            ..self
        }
    }

    pub(crate) fn related(mut self, what: impl Into<String>, range: Range<usize>) -> Self {
        self.related.push((what.into(), range));
        self
    }

    fn placed(self, text: &Text<'_>) -> Diagnostic {
        Diagnostic {
            code: self.code,
            severity: self.severity,
            message: self.message,
            key: self.key,
            place: text.place(&self.range),
            cure: self.cure,
            related: self
                .related
                .into_iter()
                .map(|(what, range)| (what, text.place(&range)))
                .collect(),
        }
    }
}

/// Places the findings and puts them in order: by line and column, errors up to the bound, warnings after them.
pub(crate) fn report(file: &str, findings: Vec<Finding>, text: &Text<'_>) -> Report {
    let mut diagnostics: Vec<Diagnostic> = findings.into_iter().map(|finding| finding.placed(text)).collect();
    diagnostics.sort_by_key(|d| (d.severity, d.place.line, d.place.column, d.code));
    diagnostics.dedup_by(|a, b| a.place == b.place && a.code == b.code && a.message == b.message);
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    let more = errors.saturating_sub(MAX_ERRORS);
    if errors > MAX_ERRORS {
        diagnostics.truncate(MAX_ERRORS);
    }
    diagnostics.truncate(MAX_ERRORS * 2);
    Report {
        file: file.to_owned(),
        diagnostics,
        more,
    }
}
