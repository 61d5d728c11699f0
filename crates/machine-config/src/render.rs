//! Shows a report to a person at a terminal.

use std::fmt::Write as _;

use crate::diagnostic::{Diagnostic, Place, Report, Severity};

/// Whether to use terminal colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// No escape sequences.
    Plain,
    /// ANSI colours.
    Colour,
}

/// The report as text with excerpts, ending with a line that counts.
#[must_use]
pub fn human(report: &Report, style: Style) -> String {
    let mut out = String::new();
    for diagnostic in &report.diagnostics {
        write_diagnostic(&mut out, &report.file, diagnostic, style);
        out.push('\n');
    }
    if report.more > 0 {
        let _ = writeln!(out, "… and {} more errors\n", report.more);
    }
    out.push_str(&summary(report));
    out
}

/// One line that says how it went.
fn summary(report: &Report) -> String {
    let errors = report.errors();
    let warnings = report
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Warning)
        .count();
    let count = |n: usize, what: &str| match n {
        1 => format!("1 {what}"),
        _ => format!("{n} {what}s"),
    };
    let verdict = if errors == 0 {
        "valid".to_owned()
    } else {
        count(errors, "error")
    };
    let warnings = if warnings == 0 {
        String::new()
    } else {
        format!(", {}", count(warnings, "warning"))
    };
    format!("{}: {verdict}{warnings}\n", report.file)
}

fn write_diagnostic(out: &mut String, file: &str, diagnostic: &Diagnostic, style: Style) {
    let (name, colour) = match diagnostic.severity {
        Severity::Error => ("error", "1;31"),
        Severity::Warning => ("warning", "1;33"),
    };
    let title = paint(style, colour, &format!("{name}[{}]", diagnostic.code));
    let _ = writeln!(out, "{title}: {}", paint(style, "1", &diagnostic.message));
    let lines = diagnostic
        .related
        .iter()
        .map(|(_, place)| place.line)
        .chain([diagnostic.place.line]);
    let width = lines.max().unwrap_or(1).to_string().len();
    write_place(out, file, &diagnostic.place, "^", "", (width, style, colour));
    for (what, place) in &diagnostic.related {
        write_place(out, file, place, "-", what, (width, style, "1;34"));
    }
    if let Some(cure) = &diagnostic.cure {
        let _ = writeln!(out, "{:width$} = {}: {cure}", "", paint(style, "1;32", "cure"));
    }
}

fn write_place(
    out: &mut String,
    file: &str,
    place: &Place,
    mark: &str,
    label: &str,
    (width, style, colour): (usize, Style, &str),
) {
    let Place {
        line,
        column,
        excerpt,
        mark: range,
    } = place;
    let before = excerpt.get(..range.start).unwrap_or_default();
    let marked = excerpt.get(range.clone()).unwrap_or_default();
    let pad: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let marks = mark.repeat(marked.chars().count().max(1));
    let marks = paint(style, colour, format!("{marks} {label}").trim_end());
    let _ = writeln!(out, "{:width$}--> {file}:{line}:{column}", "");
    let _ = writeln!(out, "{:width$} |", "");
    let _ = writeln!(out, "{line:width$} | {}", excerpt.trim_end());
    let _ = writeln!(out, "{:width$} | {pad}{marks}", "");
}

fn paint(style: Style, colour: &str, text: &str) -> String {
    match style {
        Style::Plain => text.to_owned(),
        Style::Colour => format!("\x1b[{colour}m{text}\x1b[0m"),
    }
}
