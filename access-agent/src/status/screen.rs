//! The report on one screen.

use std::time::Duration;

use keelson_image_layout::{Slot, StateMount};
use keelson_manager_api::UnitState;
use serde_json::Value as Json;

use super::report::{Health, Report};
use crate::words::{columns, count, size, span, word};

/// Containers and addresses that fit.
const MOST_ROWS: usize = 12;

/// For people.
#[must_use]
pub fn screen(report: &Report) -> String {
    let mut rows = vec![
        row("machine", machine(report)),
        row("slot", slot(report)),
        row("health", health(report)),
    ];
    rows.extend(
        report
            .before
            .as_ref()
            .and_then(|before| before.end.as_ref())
            .map(|end| row("last end", &end.words)),
    );
    rows.push(row("services", services(report)));
    rows.extend(titled("containers", containers(report)));
    rows.extend(titled("network", addresses(&report.network)));
    rows.push(row("clock", clock(&report.network)));
    rows.push(row("configuration", configuration(&report.configuration)));
    rows.push(row("memory", report.memory.map_or_else(unknown, room)));
    rows.push(row("state", state(report)));
    rows.push(row("boot chain", report.chain.to_string()));
    columns(&rows) + "\n" + &problems(report)
}

fn row(title: &str, text: impl Into<String>) -> (String, String) {
    (title.to_owned(), text.into())
}

/// One title for several lines.
fn titled(title: &str, mut lines: Vec<String>) -> Vec<(String, String)> {
    let more = lines.len().saturating_sub(MOST_ROWS);
    lines.truncate(MOST_ROWS);
    lines.extend((more > 0).then(|| format!("… and {more} more")));
    let titles = std::iter::once(title).chain(std::iter::repeat(""));
    titles.zip(lines).map(|(title, line)| row(title, line)).collect()
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn machine(report: &Report) -> String {
    let name = report.hostname.as_deref().unwrap_or("without a name");
    let up = span(Duration::from_secs(report.uptime));
    format!("{name}, Keelson {}, Linux {}, up {up}", report.version, report.kernel)
}

fn slot(report: &Report) -> String {
    let Some(slots) = &report.slots else {
        return format!("{}, record unreadable", report.slot);
    };
    let described = Slot::ALL.into_iter().zip(slots).map(|(slot, facts)| {
        let here = if slot == report.slot { "running" } else { "other" };
        format!(
            "{slot} ({here}) {} {}, {} left",
            facts.version,
            word(facts.state),
            tries(facts.tries)
        )
    });
    described.collect::<Vec<_>>().join("; ")
}

fn tries(number: u8) -> String {
    if number == 1 {
        "1 try".to_owned()
    } else {
        format!("{number} tries")
    }
}

fn health(report: &Report) -> &'static str {
    match (report.health, report.trial) {
        (Health::Complete, false) => "boot complete, slot committed",
        (Health::Complete, true) => "boot complete, slot not committed yet",
        (Health::Starting, _) => "starting",
        (Health::Failed, _) => "the boot did not complete",
    }
}

fn services(report: &Report) -> String {
    let number = |states: &[UnitState]| {
        report
            .services
            .iter()
            .filter(|unit| states.contains(&unit.state))
            .count()
    };
    let up = number(&[UnitState::Running, UnitState::Done]);
    let coming = number(&[UnitState::Waiting, UnitState::Starting, UnitState::BackOff]);
    let failed = number(&[UnitState::Failed]);
    let mut parts = vec![format!("{up} of {} up", report.services.len())];
    parts.extend((coming > 0).then(|| format!("{coming} on their way")));
    parts.extend((failed > 0).then(|| format!("{failed} failed")));
    parts.join(", ")
}

fn containers(report: &Report) -> Vec<String> {
    let Some(containers) = &report.containers else {
        return vec!["the engine does not answer".to_owned()];
    };
    if containers.is_empty() {
        return vec!["none".to_owned()];
    }
    let line = |container: &crate::machine::engine::Container| {
        let ports = if container.ports.is_empty() {
            String::new()
        } else {
            format!(", {}", container.ports.join(" "))
        };
        format!("{}: {} ({}{ports})", container.name, container.status, container.image)
    };
    containers.iter().map(line).collect()
}

fn addresses(network: &Json) -> Vec<String> {
    let links: Vec<&Json> = network
        .get("links")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .collect();
    let line = |link: &&Json| {
        let name = link.get("name").and_then(Json::as_str).unwrap_or("?");
        let addresses = link.get("addresses").and_then(Json::as_array).into_iter().flatten();
        let addresses: Vec<&str> = addresses.filter_map(Json::as_str).collect();
        let carrier = link.get("carrier").and_then(Json::as_bool).unwrap_or(false);
        match (carrier, addresses.is_empty()) {
            (false, _) => format!("{name}: no carrier"),
            (true, true) => format!("{name}: no address"),
            (true, false) => format!("{name}: {}", addresses.join(" ")),
        }
    };
    if links.is_empty() {
        vec!["no links".to_owned()]
    } else {
        links.iter().map(line).collect()
    }
}

fn clock(network: &Json) -> String {
    let text = |pointer: &str| network.pointer(pointer).and_then(Json::as_str);
    match network.pointer("/time/synchronised").and_then(Json::as_bool) {
        Some(true) => format!("set by {}", text("/time/server").unwrap_or("a server")),
        Some(false) => format!(
            "not set by a server: {}",
            text("/time/problem").unwrap_or("none has answered yet")
        ),
        None => unknown(),
    }
}

fn configuration(status: &Json) -> String {
    let text = |key: &str| status.get(key).and_then(Json::as_str);
    let state = text("state").unwrap_or("not applied yet");
    match text("generation").and_then(|id| id.get(..12)) {
        Some(id) => format!("{state}: {id} from {}", text("source").unwrap_or("an unknown source")),
        None => state.to_owned(),
    }
}

fn room(room: crate::machine::figures::Room) -> String {
    format!("{} of {} available", size(room.available), size(room.total))
}

fn state(report: &Report) -> String {
    let how = match &report.state {
        StateMount::ReadWrite => "",
        StateMount::Medium => ", in memory: this is an installation medium",
        StateMount::ReadOnly { .. } => ", read-only",
        StateMount::Memory { .. } => ", in memory",
    };
    report.disk.map_or_else(unknown, room) + how
}

fn problems(report: &Report) -> String {
    if report.problems.is_empty() {
        return "Nothing is wrong.\n".to_owned();
    }
    let number = count(report.problems.len(), "problem");
    let lines = report
        .problems
        .iter()
        .map(|problem| format!("  {}\n    next: {}\n", problem.what, problem.next));
    format!("{number}:\n") + &lines.collect::<String>()
}
