//! From bytes to a verdict: accepted with a typed configuration, or refused with every mistake.

mod at;
mod container;
mod file;
mod nearest;
pub(crate) mod network;
mod rules;
pub(crate) mod sink;
pub(crate) mod string;
mod update;
mod view;
mod walk;
mod wording;

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Code, MAX_ERRORS, Report, Severity};
use crate::format::Format;
use crate::mime::Document;
use crate::model::MachineConfig;
use crate::redact;
use crate::secret::SecretValues;
use crate::syntax::{self, Broken, Fault};
use crate::text::Text;
pub(crate) use at::dotted;
pub(crate) use file::owner_exists;
pub(crate) use nearest::{known, nearest};
pub(crate) use sink::{Finding, Findings};
pub(crate) use string::check as check_string;
pub use walk::Fate;
use walk::Walk;

/// Longest document accepted.
pub const MAX_DOCUMENT: usize = 1 << 20;

/// The answer to a document.
#[expect(missing_debug_implementations, reason = "holds secret values")]
pub struct Verdict {
    /// What it asks for; present exactly when the report holds no error.
    pub accepted: Option<Accepted>,
    /// What was found; warnings do not refuse.
    pub report: Report,
    /// What became of each key of the document, in its order.
    pub fates: Vec<Fate>,
}

/// A valid document.
#[expect(missing_debug_implementations, reason = "holds secret values")]
pub struct Accepted {
    /// What it asks for.
    pub config: MachineConfig,
    /// The values that `config` refers to.
    pub secrets: SecretValues,
    /// The document's text with secret values masked.
    pub redacted: String,
}

/// Checks a document in whatever format its first bytes tell. `file` is its name in the report.
#[must_use]
pub fn validate(file: &str, bytes: &[u8]) -> Verdict {
    validate_as(file, bytes, Format::detect(bytes))
}

/// Checks a document that is said to be in this format. `file` is its name in the report.
#[must_use]
pub fn validate_as(file: &str, bytes: &[u8], format: Format) -> Verdict {
    if format == Format::Gzip {
        return match crate::cloud::gunzip(bytes) {
            Ok(inner) if Format::detect(&inner) != Format::Gzip => validate(file, &inner),
            Ok(_) => refused(
                file,
                bytes,
                refusal(Code::ForeignFormat, "this is compressed twice", "compress it once"),
            ),
            Err(problem) => refused(
                file,
                bytes,
                refusal(
                    Code::ForeignFormat,
                    problem,
                    "compress it with gzip, or give it as it is",
                ),
            ),
        };
    }
    match (readable(bytes, format), format) {
        (Err(finding), _) => refused(file, bytes, *finding),
        (Ok(text), Format::CloudConfig) => crate::cloud::validate(file, text),
        (Ok(text), Format::Mime) => match crate::mime::document(text) {
            Ok(Document::InPlace(text)) => crate::cloud::validate(file, &text),
            Ok(Document::Decoded(text)) => crate::cloud::validate(&format!("{file} (decoded part)"), &text),
            Err(findings) => {
                let mut shown = Text::new(text);
                shown.mask(redact::secret_lines(text));
                Verdict {
                    accepted: None,
                    report: sink::report(file, findings.into_iter().collect(), &shown),
                    fates: Vec::new(),
                }
            }
        },
        (Ok(text), _) => validate_text(file, text),
    }
}

/// The answer to bytes of which nothing can be shown.
fn refused(file: &str, bytes: &[u8], finding: Finding) -> Verdict {
    let lossy = String::from_utf8_lossy(bytes.get(..bytes.len().min(4096)).unwrap_or_default());
    let mut text = Text::new(&lossy);
    text.mask(std::iter::once(0..lossy.len()));
    Verdict {
        accepted: None,
        report: sink::report(file, Findings::from_iter([finding]), &text),
        fates: Vec::new(),
    }
}

fn refusal(code: Code, message: impl Into<String>, cure: &str) -> Finding {
    Finding::error(code, 0..0, "", message).cure(cure)
}

/// The text of a document, or why there is none.
fn readable(bytes: &[u8], format: Format) -> Result<&str, Box<Finding>> {
    let refuse = |code, message: String, cure: &str| Box::new(refusal(code, message, cure));
    if let Some((message, cure)) = format.refusal() {
        return Err(refuse(Code::ForeignFormat, message.to_owned(), cure));
    }
    if bytes.len() > MAX_DOCUMENT {
        let message = format!("the document has {} bytes, more than {MAX_DOCUMENT}", bytes.len());
        return Err(refuse(Code::NotText, message, "shorten it"));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        refuse(
            Code::NotText,
            format!("the document is not UTF-8 text: line {line}"),
            "save it as UTF-8",
        )
    })
}

fn validate_text(file: &str, original: &str) -> Verdict {
    let mut text = Text::new(original);
    text.mask(redact::secret_ranges(original));
    text.mask(redact::credential_ranges(original));
    if let Some(root) = syntax::parse_whole(original) {
        return conclude(
            file,
            text,
            root.get_ref(),
            &Broken::default(),
            Findings::default(),
            None,
        );
    }
    let repaired = syntax::repair(original);
    text.mask(repaired.faults.iter().map(|fault| fault.hidden.clone()));
    text.mask(repaired.hidden);
    let mut early: Findings = repaired.faults.into_iter().map(|fault| finding(fault, None)).collect();
    early.count(repaired.more);
    // Placed in the document as it is; all that follows speaks of the repaired text.
    let early = sink::report(file, early, &text);
    text.set_inserted(repaired.inserted);
    let (root, faults) = syntax::parse(&repaired.clean);
    // Looking for the first definition goes through the whole document.
    let searched = faults
        .iter()
        .map(|fault| fault.range.start)
        .nth(MAX_ERRORS)
        .unwrap_or(usize::MAX);
    text.mask(faults.iter().map(|fault| fault.hidden.clone()));
    let faults = faults.into_iter().map(|fault| {
        let near = fault.range.start < searched;
        let first = near
            .then(|| first_definition(&root, &repaired.clean, &fault.range))
            .flatten();
        finding(fault, first)
    });
    conclude(
        file,
        text,
        root.get_ref(),
        &repaired.broken,
        faults.collect(),
        Some(early),
    )
}

/// Examines the tree and puts all findings into one report.
fn conclude(
    file: &str,
    text: Text<'_>,
    root: &DeTable<'_>,
    broken: &Broken,
    mut findings: Findings,
    early: Option<Report>,
) -> Verdict {
    let mut found = examine(root, broken);
    findings.append(std::mem::take(&mut found.findings));
    found.findings = findings;
    verdict(file, text, found, early)
}

/// Puts what was found in a document of any format into one answer.
pub(crate) fn finish(file: &str, text: Text<'_>, found: Examined) -> Verdict {
    verdict(file, text, found, None)
}

fn verdict(file: &str, mut text: Text<'_>, found: Examined, early: Option<Report>) -> Verdict {
    text.mask(found.hidden);
    let mut report = sink::report(file, found.findings, &text);
    if let Some(early) = early {
        report = merge(early, report);
    }
    let accepted = accept(&mut report, found.config, found.secrets, &text);
    Verdict {
        accepted,
        report,
        fates: found.fates.into_values().collect(),
    }
}

/// A mistake of syntax as a finding.
pub(crate) fn fault(fault: Fault) -> Finding {
    finding(fault, None)
}

fn finding(fault: Fault, first: Option<Range<usize>>) -> Finding {
    let first = first.or(fault.first);
    let finding = Finding::error(fault.code, fault.range, "", fault.message).cure(fault.cure.unwrap_or_default());
    match first {
        Some(first) => finding.related("first defined here", first),
        None => finding,
    }
}

/// What was found in a document, and what it asks for as JSON.
pub(crate) struct Examined {
    pub(crate) findings: Findings,
    /// By the offset at which the key stands.
    pub(crate) fates: BTreeMap<usize, Fate>,
    /// Values that must not be shown.
    pub(crate) hidden: Vec<Range<usize>>,
    pub(crate) secrets: SecretValues,
    pub(crate) config: serde_json::Value,
}

/// Everything that can be said about a tree.
fn examine(root: &DeTable<'_>, broken: &Broken) -> Examined {
    let mut walk = Walk::new(broken);
    if let Some(finding) = newer_schema(root) {
        walk.findings.push(finding);
        walk.hide_all(root);
        let Walk {
            findings,
            fates,
            hidden,
            secrets,
            ..
        } = walk;
        return Examined {
            findings,
            fates,
            hidden,
            secrets,
            config: serde_json::Value::Null,
        };
    }
    let config = walk.root(root);
    walk.findings
        .append(rules::check(view::View::root(root), &config, broken));
    let Walk {
        findings,
        fates,
        hidden,
        secrets,
        ..
    } = walk;
    Examined {
        findings,
        fates,
        hidden,
        secrets,
        config,
    }
}

/// A document of a newer schema gets this one error: what its keys mean is not known here.
fn newer_schema(root: &DeTable<'_>) -> Option<Finding> {
    let value = root.get("schema")?;
    let DeValue::Integer(number) = value.get_ref() else {
        return None;
    };
    let number = i64::from_str_radix(number.as_str(), number.radix()).unwrap_or(i64::MAX);
    (number > i64::from(crate::SCHEMA)).then(|| {
        let message = format!(
            "this release ({}) reads schema 1 and not {number}",
            env!("CARGO_PKG_VERSION")
        );
        let finding = Finding::error(Code::UnsupportedSchema, value.span(), "schema", message);
        finding.cure("update the system, or write the document for schema 1")
    })
}

/// Where the key at `second` was defined before: the last key of that name ahead of it.
fn first_definition(root: &Spanned<DeTable<'_>>, text: &str, second: &Range<usize>) -> Option<Range<usize>> {
    let name = text.get(second.clone())?.trim_matches(['"', '\'']);
    let mut best = None;
    last_key(root.get_ref(), name, second.start, &mut best);
    best
}

fn last_key(table: &DeTable<'_>, name: &str, before: usize, best: &mut Option<Range<usize>>) {
    for (key, value) in table {
        let span = key.span();
        let later = best.as_ref().is_none_or(|best| span.start > best.start);
        if key.get_ref() == name && span.start < before && later {
            *best = Some(span);
        }
        match value.get_ref() {
            DeValue::Table(table) => last_key(table, name, before, best),
            DeValue::Array(array) => {
                for table in array.iter().filter_map(|value| value.get_ref().as_table()) {
                    last_key(table, name, before, best);
                }
            }
            _ => {}
        }
    }
}

fn merge(mut first: Report, second: Report) -> Report {
    first.diagnostics.extend(second.diagnostics);
    first
        .diagnostics
        .sort_by_key(|d| (d.severity, d.place.line, d.place.column, d.code));
    let errors = first
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .count();
    let over = errors.saturating_sub(MAX_ERRORS);
    if over > 0 {
        first.diagnostics.truncate(MAX_ERRORS);
    }
    first.more += second.more + over;
    first
}

/// The typed configuration of a document without errors.
fn accept(report: &mut Report, config: serde_json::Value, secrets: SecretValues, text: &Text<'_>) -> Option<Accepted> {
    if report.errors() > 0 {
        return None;
    }
    match serde_json::from_value::<MachineConfig>(config) {
        Ok(config) => Some(Accepted {
            config: config.completed(),
            secrets,
            redacted: text.redacted(),
        }),
        Err(_) => {
            // Never reached while key table and types agree, which a test on every key shows.
            let message = "the document passed every check and cannot be understood: a fault of the system";
            let finding = Finding::error(Code::Internal, 0..0, "", message).cure("report it with the document");
            report
                .diagnostics
                .extend(sink::report("", Findings::from_iter([finding]), text).diagnostics);
            None
        }
    }
}
