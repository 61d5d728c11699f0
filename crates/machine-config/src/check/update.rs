//! Rules for updates: each probe asks one question, of something that exists, and the health it asks for can be reached
//! in time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::sink::{Finding, Findings};
use super::view::{Found, View};
use crate::diagnostic::Code;
use crate::model::Update;
use crate::syntax::Broken;
use crate::value::Span;

const QUESTIONS: [&str; 4] = ["http", "tcp", "exec", "unit"];

pub(crate) fn check(root: View<'_, '_>, broken: &Broken, out: &mut Findings) {
    let Some(update) = root.table("update") else { return };
    times(update, out);
    let containers: Vec<&str> = root.sections("container").iter().map(|view| view.name).collect();
    let mut seen: BTreeMap<&str, Range<usize>> = BTreeMap::new();
    for (index, probe) in update.list("probe").into_iter().enumerate() {
        let key = |leaf: &str| format!("update.probe[{index}].{leaf}");
        if let Some(name) = probe.text("name") {
            once(&name, &key("name"), &mut seen, out);
        }
        question(probe, &key, broken, out);
        if let Some(found) = probe.text("container")
            && !containers.contains(&found.text)
            && !broken.may_hold("container")
        {
            let message = format!("the container {:?} is not declared", found.text);
            let cure = format!("declare it as `[container.{}]`", found.text);
            out.push(Finding::error(Code::UnknownContainer, found.span, &key("container"), message).cure(cure));
        }
    }
}

/// Health that has to hold longer than it may take can never be reached.
fn times(update: View<'_, '_>, out: &mut Findings) {
    let read = |key: &str| update.text(key).and_then(|found| found.text.parse::<Span>().ok());
    let usual = Update::default();
    let held = read("health-for").unwrap_or(usual.health_for);
    let within = read("health-within").unwrap_or(usual.health_within);
    if held.0.saturating_add(Duration::from_secs(10)) <= within.0 {
        return;
    }
    let Some(span) = update.key("health-within").or_else(|| update.key("health-for")) else {
        return;
    };
    let message = format!("health cannot hold for {held} within {within}");
    let cure = "let `health-within` be at least ten seconds longer than `health-for`";
    out.push(Finding::error(Code::Contradiction, span, "update.health-within", message).cure(cure));
}

fn once<'t>(name: &Found<'t>, key: &str, seen: &mut BTreeMap<&'t str, Range<usize>>, out: &mut Findings) {
    match seen.get(name.text) {
        Some(earlier) => {
            let message = format!("the probe {:?} is declared twice", name.text);
            let finding = Finding::error(Code::Repeated, name.span.clone(), key, message);
            out.push(
                finding
                    .cure("give it another name")
                    .related("first declared here", earlier.clone()),
            );
        }
        None => drop(seen.insert(name.text, name.span.clone())),
    }
}

fn question(probe: View<'_, '_>, key: &dyn Fn(&str) -> String, broken: &Broken, out: &mut Findings) {
    let asked: Vec<(&str, Range<usize>)> = QUESTIONS
        .into_iter()
        .filter_map(|question| Some((question, probe.key(question)?)))
        .collect();
    // A key nobody knows may be the one that seems to be missing, and is reported.
    let unclear = probe.has_unknown("update.probe[]");
    match asked.as_slice() {
        [] if unclear => {}
        [] if QUESTIONS.iter().any(|question| broken.may_hold(question)) => {}
        [] => {
            let message = "the probe asks nothing";
            let finding = Finding::error(Code::MissingKey, probe.span(), &key("http"), message);
            out.push(finding.cure("add one of `http`, `tcp`, `exec` and `unit`"));
        }
        [_] => {}
        [(first, earlier), (second, span), ..] => {
            let message = format!("a probe asks one question, not `{first}` and `{second}`");
            let finding = Finding::error(Code::Contradiction, span.clone(), &key(second), message);
            out.push(
                finding
                    .cure("write two probes")
                    .related("the first is here", earlier.clone()),
            );
        }
    }
    match (probe.key("exec"), probe.key("container")) {
        (Some(span), None) if !unclear && !broken.may_hold("container") => {
            let message = "`exec` needs the container it runs in";
            let finding = Finding::error(Code::MissingKey, span, &key("container"), message);
            out.push(finding.cure("add `container = \"NAME\"`"));
        }
        (None, Some(span)) if !unclear && !broken.may_hold("exec") => {
            let message = "`container` is for `exec`";
            out.push(Finding::error(Code::Contradiction, span, &key("container"), message).cure("leave it out"));
        }
        _ => {}
    }
    if probe.key("exec").is_some() && probe.texts("exec").is_empty() && !broken.may_hold("exec") {
        let span = probe.key("exec").unwrap_or_default();
        let message = "`exec` names no program";
        out.push(Finding::error(Code::BadValue, span, &key("exec"), message).cure("write [\"PROGRAM\", \"ARGUMENT\"]"));
    }
}
