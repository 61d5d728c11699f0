//! Collects diagnostics, and no more of them than can matter: a document may hold a mistake in every byte.

use std::ops::Range;

use super::nearest::{key_advice, leave_out};
use crate::diagnostic::{Code, Diagnostic, MAX_ERRORS, Report, Severity};
use crate::redact::without_credentials;
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
    /// An unknown key, advice on which replaces the cure: looked for only when the finding is shown.
    pub(crate) unknown: Option<(&'static str, String)>,
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
            unknown: None,
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
        let advice = self
            .unknown
            .map(|(parent, name)| key_advice(parent, &name).unwrap_or_else(|| leave_out(parent)));
        let shown = |text: String| without_credentials(&text);
        Diagnostic {
            code: self.code,
            severity: self.severity,
            message: shown(self.message),
            key: shown(self.key),
            place: text.place(&self.range),
            cure: advice.or(self.cure).map(shown),
            related: self
                .related
                .into_iter()
                .map(|(what, range)| (shown(what), text.place(&range)))
                .collect(),
        }
    }

    /// The order of a report: errors before warnings, each by where they stand.
    fn order(&self) -> (Severity, usize, Code) {
        (self.severity, self.range.start, self.code)
    }
}

/// The most findings that are kept.
const MAX_KEPT: usize = 2048;

/// Findings in any order: the first of the document are kept, the rest counted.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    kept: Vec<Finding>,
    /// Errors that are not kept.
    more: usize,
}

impl Findings {
    pub(crate) fn push(&mut self, finding: Finding) {
        self.kept.push(finding);
        if self.kept.len() >= 2 * MAX_KEPT {
            self.tidy();
            let dropped = self.kept.drain(MAX_KEPT.min(self.kept.len())..);
            self.more += dropped.filter(|f| f.severity == Severity::Error).count();
        }
    }

    pub(crate) fn append(&mut self, other: Findings) {
        self.more += other.more;
        other.kept.into_iter().for_each(|finding| self.push(finding));
    }

    /// Counts errors that nothing more is known about.
    pub(crate) fn count(&mut self, more: usize) {
        self.more += more;
    }

    /// Puts them in order, each once.
    fn tidy(&mut self) {
        self.kept.sort_by_key(Finding::order);
        self.kept
            .dedup_by(|a, b| a.range == b.range && a.code == b.code && a.message == b.message);
    }
}

impl FromIterator<Finding> for Findings {
    fn from_iter<I: IntoIterator<Item = Finding>>(findings: I) -> Self {
        let mut out = Self::default();
        findings.into_iter().for_each(|finding| out.push(finding));
        out
    }
}

/// Places the findings that are listed, in order: errors up to the bound, or errors and warnings. Cut before placing:
/// that costs a line's length each.
pub(crate) fn report(file: &str, mut findings: Findings, text: &Text<'_>) -> Report {
    findings.tidy();
    let Findings { mut kept, more } = findings;
    let errors = kept.iter().filter(|f| f.severity == Severity::Error).count();
    let over = errors.saturating_sub(MAX_ERRORS);
    kept.truncate(if over > 0 { MAX_ERRORS } else { MAX_ERRORS * 2 });
    Report {
        file: file.to_owned(),
        diagnostics: kept.into_iter().map(|finding| finding.placed(text)).collect(),
        more: more + over,
    }
}
