//! `#cloud-config`: the same machine, asked for in the words of cloud-init.
//!
//! Every key gets exactly one verdict: honoured, noted as without effect, or refused with what does the same here. What
//! is honoured becomes the JSON that a native document of the same meaning would give, so that nothing behind this
//! module knows which of the two was written.

mod access;
mod draft;
mod files;
mod machine;
mod packages;
mod page;
mod power;
mod topics;
mod users;
mod walk;

use std::ops::Range;

pub(crate) use files::gunzip;
pub use page::reference_page;

use crate::check::{self, Examined, Finding, Verdict};
use crate::diagnostic::Code;
use crate::redact;
use crate::text::Text;
use crate::yaml::{self, Value};
use topics::TOPICS;
use walk::Walk;

/// Checks the text of a cloud-config. `file` is its name in the report.
pub(crate) fn validate(file: &str, original: &str) -> Verdict {
    let mut text = Text::new(original);
    text.mask(redact::secret_lines(original));
    text.mask(redact::credential_ranges(original));
    let mut keep = String::new();
    let parsed = yaml::parse(original, &mut keep, is_harmless);
    text.mask(parsed.faults.iter().map(|fault| fault.hidden.clone()));
    let mut findings: check::Findings = parsed.faults.into_iter().map(check::fault).collect();
    findings.count(parsed.more);
    findings.append(header(original).into_iter().collect());
    let mut walk = Walk::new(parsed.broken);
    match parsed.root.as_ref().map(|root| (&root.value, root)) {
        Some((Value::Map(map), _)) => walk.root(map),
        Some((Value::Null | Value::Lost, _)) | None => {}
        Some((_, root)) => walk.wrong(root, "the document", "a map of keys and values"),
    }
    files::owners(&mut walk);
    let Walk {
        findings: found,
        fates,
        hidden,
        mut secrets,
        draft,
        ..
    } = walk;
    findings.append(found);
    let config = draft.into_json(&mut secrets);
    let examined = Examined {
        findings,
        fates,
        hidden,
        secrets,
        config,
    };
    check::finish(file, text, examined)
}

/// What is wrong before the first line that says what the document is.
fn header(text: &str) -> Option<Finding> {
    let marker = "#cloud-config";
    let start = text.len() - text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).len();
    let first: Range<usize> = start..start + text.get(start..)?.lines().next()?.len();
    let line = text.get(first.clone())?;
    let error =
        |message: &str, cure: &str| Some(Finding::error(Code::ForeignFormat, first.clone(), "", message).cure(cure));
    if line.starts_with("## template:") {
        let message = "this is a template, and nothing is filled in here";
        return error(
            message,
            "write the values themselves, and begin the document with `#cloud-config`",
        );
    }
    if line.starts_with("#cloud-config-archive") {
        let message = "this is an archive of several documents";
        return error(message, "write one document that begins with `#cloud-config`");
    }
    if line.starts_with("---") {
        let message = "the first line is `---`: cloud-init would ignore all of this document";
        return error(
            message,
            "make `#cloud-config` the first line, and `---` the second if you want it",
        );
    }
    if line.trim_end() != marker && !line.starts_with("#cloud-config ") {
        let message = "the first line is not quite `#cloud-config`";
        return error(message, "write it in lower case, with nothing else on the line");
    }
    None
}

/// Whether the value of a key of this name may be shown although its line is broken.
fn is_harmless(name: &str) -> bool {
    const INNER: [&str; 20] = [
        "append",
        "delay",
        "enabled",
        "encoding",
        "gecos",
        "groups",
        "lock_passwd",
        "mode",
        "name",
        "owner",
        "path",
        "permissions",
        "pools",
        "servers",
        "shell",
        "ssh_authorized_keys",
        "sudo",
        "timeout",
        "trusted",
        "uid",
    ];
    const OUTER: [&str; 12] = [
        "disable_root",
        "fqdn",
        "hostname",
        "locale",
        "package_update",
        "package_upgrade",
        "packages",
        "preserve_hostname",
        "ssh_pwauth",
        "timezone",
        "users",
        "write_files",
    ];
    INNER.contains(&name) || OUTER.contains(&name)
}

/// Every key that is known at the top, for tests.
#[must_use]
pub fn known_keys() -> Vec<&'static str> {
    TOPICS.iter().map(|topic| topic.key).collect()
}
