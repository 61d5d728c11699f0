//! `keelson config`: needs no machine, no privilege and no network.

use std::fs::File;
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use anyhow::Context as _;
use keelson_machine_config::network_config::{self, NetworkFormat};
use keelson_machine_config::plan::{Change, plan as changes};
use keelson_machine_config::render::{Style, human};
use keelson_machine_config::{Code, Format, MACHINE_JSON, MAX_DOCUMENT, MachineConfig, Report, Severity, Verdict};

use crate::answer::{complain, exit, json, say};
use crate::command::{Document, DocumentFormat};

/// Checks each document.
///
/// # Errors
/// One cannot be read.
pub fn validate(
    files: &[Document],
    format: Option<DocumentFormat>,
    as_json: bool,
    deny_warnings: bool,
) -> anyhow::Result<u8> {
    let mut reports = Vec::new();
    for file in files {
        reports.push(match format.and_then(network_format) {
            Some(format) => check_network(file, format)?,
            None => check(file, format)?.report,
        });
    }
    if as_json {
        say(&json(&reports)?);
    } else {
        reports.iter().for_each(|report| say(&human(report, style())));
    }
    let codes = reports.iter().map(|report| verdict_code(report, deny_warnings));
    Ok(codes.max().unwrap_or(exit::GOOD))
}

/// The text of a document for another machine; `None` if it is refused, with every mistake shown.
///
/// # Errors
/// It cannot be read, or is compressed.
pub fn checked(file: &Document) -> anyhow::Result<Option<String>> {
    let (name, bytes) = content(file)?;
    let Verdict { accepted, report, .. } = keelson_machine_config::validate(&name, &bytes);
    if accepted.is_none() {
        complain(&human(&report, style()));
        return Ok(None);
    }
    let text = String::from_utf8(bytes).with_context(|| format!("{name} is compressed: unpack it first"))?;
    Ok(Some(text))
}

/// Shows what a document would change.
///
/// # Errors
/// A file cannot be read or is not what it should be.
pub fn plan(
    file: &Document,
    format: Option<DocumentFormat>,
    against: Option<&Path>,
    as_json: bool,
) -> anyhow::Result<u8> {
    let Verdict { accepted, report, .. } = check(file, format)?;
    let Some(accepted) = accepted else {
        let shown = if as_json {
            json(std::slice::from_ref(&report))?
        } else {
            human(&report, style())
        };
        say(&shown);
        return Ok(verdict_code(&report, false));
    };
    let before = in_force(against)?;
    let mut after = accepted.config;
    keep_what_is_not_said(&before, &mut after);
    let changes = changes(&before, &after);
    say(&if as_json {
        json(&changes)?
    } else {
        // What has no effect is part of the answer.
        let notes: String = report.lines().map(|line| format!("{line}\n")).collect();
        shown(&changes) + &notes
    });
    Ok(exit::GOOD)
}

/// What the effective configuration has and a document cannot say: versions of secrets, and a name given by the source.
fn keep_what_is_not_said(before: &MachineConfig, after: &mut MachineConfig) {
    let known: Vec<_> = before.secret_refs().cloned().collect();
    for reference in after.secret_refs_mut() {
        if let Some(old) = known.iter().find(|old| old.name == reference.name) {
            reference.version.clone_from(&old.version);
        }
    }
    if after.system.hostname.is_none() {
        after.system.hostname.clone_from(&before.system.hostname);
    }
}

fn shown(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "nothing would change (values of secrets are not compared)\n".to_owned();
    }
    changes.iter().map(|change| format!("{change}\n")).collect()
}

/// The configuration to compare with: the given one, the machine's, or that of a machine without a document.
fn in_force(against: Option<&Path>) -> anyhow::Result<MachineConfig> {
    let own = Path::new(MACHINE_JSON);
    let Some(path) = against.or_else(|| own.exists().then_some(own)) else {
        return Ok(MachineConfig::default());
    };
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    if bytes.trim_ascii_start().starts_with(b"{") {
        return serde_json::from_slice(&bytes).with_context(|| format!("understand {}", path.display()));
    }
    let verdict = keelson_machine_config::validate(&path.display().to_string(), &bytes);
    let accepted = verdict.accepted.map(|accepted| accepted.config);
    accepted.with_context(|| {
        format!(
            "{} is itself refused: `keelson config validate` says why",
            path.display()
        )
    })
}

/// The format of what is no document but stands beside one.
fn network_format(format: DocumentFormat) -> Option<NetworkFormat> {
    match format {
        DocumentFormat::Network => Some(NetworkFormat::CloudInit),
        DocumentFormat::NetworkData => Some(NetworkFormat::OpenStack),
        DocumentFormat::Native | DocumentFormat::CloudConfig | DocumentFormat::Mime => None,
    }
}

fn check_network(file: &Document, format: NetworkFormat) -> anyhow::Result<Report> {
    let (name, bytes) = content(file)?;
    Ok(network_config::validate(&name, &bytes, format).report)
}

/// The name to call a file by, and what it holds.
fn content(file: &Document) -> anyhow::Result<(String, Vec<u8>)> {
    let name = file
        .path()
        .map_or("standard input".to_owned(), |path| path.display().to_string());
    let bytes = read(file).with_context(|| format!("read {name}"))?;
    Ok((name, bytes))
}

fn check(file: &Document, format: Option<DocumentFormat>) -> anyhow::Result<Verdict> {
    let (name, bytes) = content(file)?;
    let format = match format {
        None => Format::detect(&bytes),
        Some(DocumentFormat::Native) => Format::Native,
        Some(DocumentFormat::CloudConfig) => Format::CloudConfig,
        Some(DocumentFormat::Mime) => Format::Mime,
        Some(DocumentFormat::Network | DocumentFormat::NetworkData) => {
            anyhow::bail!("{name}: a network configuration stands beside a document; `config validate` checks it")
        }
    };
    Ok(keelson_machine_config::validate_as(&name, &bytes, format))
}

/// One byte more than a document may have, so that a longer one is told from the longest.
fn read(file: &Document) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = MAX_DOCUMENT as u64 + 1;
    match file.path() {
        Some(path) => File::open(path)?.take(limit).read_to_end(&mut bytes)?,
        None => std::io::stdin().take(limit).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

fn verdict_code(report: &Report, deny_warnings: bool) -> u8 {
    let foreign = |code| {
        matches!(
            code,
            Code::ForeignFormat | Code::UnsupportedSchema | Code::UnsupportedFeature | Code::Unsupported
        )
    };
    let errors = report.diagnostics.iter().filter(|d| d.severity == Severity::Error);
    match (report.errors(), report.diagnostics.is_empty()) {
        (0, false) if deny_warnings => exit::BAD,
        (0, _) => exit::GOOD,
        _ if errors.into_iter().all(|d| foreign(d.code)) => exit::USAGE,
        _ => exit::BAD,
    }
}

fn style() -> Style {
    let set = |name| std::env::var_os(name).is_some();
    let wanted = (std::io::stdout().is_terminal() || set("CLICOLOR_FORCE")) && !set("NO_COLOR");
    if wanted { Style::Colour } else { Style::Plain }
}
