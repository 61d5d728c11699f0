//! The configuration in force, where it came from, and the generations. Values of secrets are not in it: only their
//! names are. `docs/formats/operator-answers.md`.

use keelson_machine_config::plan::{Change, plan};
use keelson_machine_config::{MACHINE_JSON, MachineConfig};
use serde_json::{Value as Json, json};

use crate::answer::{exit, json as to_json, say};
use crate::machine::Machine;
use crate::words::columns;

/// A longer value is cut on the screen; `--json` has all of it.
const MOST_LETTERS: usize = 160;

/// Shows it. The code says whether it is what its document asks for.
///
/// # Errors
/// No configuration was applied yet, or this is not a Keelson machine.
pub fn show(machine: &Machine, as_json: bool) -> anyhow::Result<u8> {
    let status = machine.config_status();
    let config: MachineConfig = machine.json(MACHINE_JSON)?;
    say(&if as_json {
        to_json(&json!({ "format": 1, "well": is_well(&status), "status": status, "configuration": config }))?
    } else {
        shown(&status, &config)
    });
    Ok(if is_well(&status) { exit::GOOD } else { exit::BAD })
}

fn is_well(status: &Json) -> bool {
    let degraded = status
        .get("degraded")
        .and_then(Json::as_array)
        .is_some_and(|list| !list.is_empty());
    !degraded && status.get("state").and_then(Json::as_str) != Some("rejected")
}

fn shown(status: &Json, config: &MachineConfig) -> String {
    let text = |key: &str| status.get(key).and_then(Json::as_str).unwrap_or("none").to_owned();
    let mut rows = vec![
        ("state".to_owned(), text("state")),
        ("source".to_owned(), text("source")),
        ("generation".to_owned(), text("generation")),
    ];
    for (key, title) in [("generations", "kept"), ("degraded", "degraded"), ("notes", "note")] {
        rows.extend(sentences(status, key).into_iter().map(|line| (title.to_owned(), line)));
    }
    rows.extend(remarks(status).into_iter().map(|line| ("refused".to_owned(), line)));
    let in_force = plan(&MachineConfig::default(), config);
    let value = |change: &Change| {
        change
            .after
            .as_deref()
            .unwrap_or_default()
            .chars()
            .take(MOST_LETTERS)
            .collect::<String>()
    };
    let lines: String = in_force
        .iter()
        .map(|change| format!("  {} = {}\n", change.key, value(change)))
        .collect();
    let nothing = "  nothing beyond what a machine without a document has\n".to_owned();
    columns(&rows) + "\nin force\n" + if lines.is_empty() { &nothing } else { &lines }
}

fn sentences(status: &Json, key: &str) -> Vec<String> {
    let list = status.get(key).and_then(Json::as_array).into_iter().flatten();
    list.map(|item| match item {
        Json::String(text) => text.clone(),
        Json::Object(generation) => generation_line(generation),
        other => other.to_string(),
    })
    .collect()
}

fn generation_line(generation: &serde_json::Map<String, Json>) -> String {
    let id = generation.get("id").and_then(Json::as_str).unwrap_or_default();
    let current = generation.get("current").and_then(Json::as_bool).unwrap_or(false);
    let slots = generation
        .get("confirmed")
        .and_then(Json::as_array)
        .into_iter()
        .flatten();
    let slots: Vec<&str> = slots.filter_map(Json::as_str).collect();
    let mut line = id.get(..12).unwrap_or(id).to_owned();
    line.push_str(if current { ", in force" } else { "" });
    if !slots.is_empty() {
        line.push_str(&format!(", confirmed by slot {}", slots.join(" and ")));
    }
    line
}

fn remarks(status: &Json) -> Vec<String> {
    if status.get("state").and_then(Json::as_str) != Some("rejected") {
        return Vec::new();
    }
    let list = status
        .pointer("/report/diagnostics")
        .and_then(Json::as_array)
        .into_iter()
        .flatten();
    let text = |remark: &Json, key: &str| remark.get(key).and_then(Json::as_str).map(str::to_owned);
    let line = |remark: &Json| {
        let at = remark.get("line").and_then(Json::as_u64).unwrap_or(0);
        let cure = text(remark, "cure").map_or(String::new(), |cure| format!("; {cure}"));
        format!("line {at}: {}{cure}", text(remark, "message").unwrap_or_default())
    };
    list.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_is_shown_with_its_source() {
        let status = json!({
            "state": "applied", "source": "cidata", "generation": "0123456789abcdef",
            "generations": [{ "id": "0123456789abcdef", "current": true, "confirmed": ["a"] }],
            "degraded": [], "notes": ["a note"],
        });
        let accepted = keelson_machine_config::validate("d", b"schema = 1\n[system]\nhostname = \"web-1\"\n").accepted;
        let text = shown(&status, &accepted.unwrap().config);
        for part in [
            "applied",
            "cidata",
            "0123456789ab, in force, confirmed by slot a",
            "a note",
            "system.hostname = \"web-1\"",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(is_well(&status));
    }

    #[test]
    fn a_refused_document_is_not_well() {
        let status = json!({ "state": "rejected", "report": { "diagnostics": [
            { "message": "unknown key", "line": 3, "cure": "remove it" } ] } });
        assert!(!is_well(&status));
        assert!(shown(&status, &MachineConfig::default()).contains("line 3: unknown key; remove it"));
        assert!(!is_well(&json!({ "state": "applied", "degraded": ["x"] })));
    }
}
