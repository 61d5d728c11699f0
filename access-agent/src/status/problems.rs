//! What is wrong, in plain words, and what to do next. Pure.

use keelson_engine_client::declared::{FailedStep, Failure};
use keelson_image_layout::{Slot, State, StateMount};
use keelson_manager_api::{UnitState, UnitStatus};
use serde::Serialize;
use serde_json::Value as Json;

use super::report::{Health, Report};
use crate::words::{count, size, word};

/// A clock that no server set is a problem after this long.
const CLOCK_WITHIN: u64 = 600;
/// So is a machine without an address.
const ADDRESS_WITHIN: u64 = 60;
/// Restarts that are not bad luck any more.
const MANY_RESTARTS: u32 = 3;
/// Hundredths of the state's disk and of memory that should be left.
const LOW_DISK: u64 = 5;
const LOW_MEMORY: u64 = 5;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What.
    pub what: String,
    /// What to do about it.
    pub next: String,
}

fn problem(what: impl Into<String>, next: impl Into<String>) -> Problem {
    Problem {
        what: what.into(),
        next: next.into(),
    }
}

/// Everything that is wrong, what matters most first.
#[must_use]
pub fn decide_problems(report: &Report) -> Vec<Problem> {
    let found = [
        of_state(report),
        of_boot(report),
        of_services(report),
        of_configuration(&report.configuration),
        of_slots(report),
        of_room(report),
        of_network(report),
        of_containers(report),
    ];
    found.into_iter().flatten().collect()
}

fn of_state(report: &Report) -> Vec<Problem> {
    let found = match &report.state {
        StateMount::ReadWrite | StateMount::Medium => None,
        StateMount::ReadOnly { reason } => Some(problem(
            format!("the state partition is damaged and read-only: {reason}"),
            "what is written is lost at the next reboot; save what you need, then replace the disk or reinstall",
        )),
        StateMount::Memory { reason } => Some(problem(
            format!("the state partition cannot be used, /state is in memory: {reason}"),
            "the partition is left as it was found; repair it from another system or reinstall, then reboot",
        )),
    };
    found.into_iter().collect()
}

fn of_boot(report: &Report) -> Vec<Problem> {
    match report.health {
        Health::Complete => Vec::new(),
        Health::Starting => vec![problem(
            "the boot is not complete yet",
            "wait; boot shows what it waits for",
        )],
        Health::Failed => vec![problem(
            "the boot cannot be completed: this slot is not marked good",
            "mend the services below; the machine stays up",
        )],
    }
}

fn of_services(report: &Report) -> Vec<Problem> {
    report.services.iter().filter_map(of_service).collect()
}

fn of_service(unit: &UnitStatus) -> Option<Problem> {
    let name = &unit.name;
    let reason = unit.failure.as_deref().unwrap_or("no reason is known");
    let look = format!("logs --unit {name} --boot; then services restart {name}");
    match unit.state {
        UnitState::Failed => Some(problem(format!("service {name} has failed: {reason}"), look)),
        UnitState::BackOff => Some(problem(
            format!("service {name} has ended and will be started again: {reason}"),
            look,
        )),
        _ if unit.restarts >= MANY_RESTARTS => Some(problem(
            format!("service {name} was restarted {} times: {reason}", unit.restarts),
            look,
        )),
        _ => None,
    }
}

fn of_configuration(status: &Json) -> Vec<Problem> {
    let mut found = Vec::new();
    let source = status.get("source").and_then(Json::as_str).unwrap_or("its source");
    if status.get("state").and_then(Json::as_str) == Some("rejected") {
        found.push(problem(
            format!(
                "the configuration that was found is refused, nothing of it is applied: {}",
                mistakes(status)
            ),
            "config shows every mistake; correct the document at its source, then reboot",
        ));
    }
    let degraded = status.get("degraded").and_then(Json::as_array).into_iter().flatten();
    found.extend(degraded.filter_map(Json::as_str).map(|what| {
        problem(
            format!("the machine is not as its configuration says: {what}"),
            format!("config shows what is in force; it came from {source}"),
        )
    }));
    found
}

/// How many, and the first.
fn mistakes(status: &Json) -> String {
    let list = status
        .pointer("/report/diagnostics")
        .and_then(Json::as_array)
        .into_iter()
        .flatten();
    let errors: Vec<&Json> = list
        .filter(|remark| remark.get("severity") == Some(&Json::from("error")))
        .collect();
    let more = status.pointer("/report/more").and_then(Json::as_u64).unwrap_or(0);
    let number = errors.len().saturating_add(usize::try_from(more).unwrap_or(0));
    let first = errors.first().map_or(String::new(), |error| {
        let line = error.get("line").and_then(Json::as_u64).unwrap_or(0);
        let message = error.get("message").and_then(Json::as_str).unwrap_or_default();
        format!(", the first in line {line}: {message}")
    });
    count(number, "mistake") + &first
}

fn of_slots(report: &Report) -> Vec<Problem> {
    let Some(slots) = &report.slots else {
        return vec![problem(
            "the record of the slots cannot be read",
            "the machine boots without it; look at logs --kernel --boot",
        )];
    };
    let bad = Slot::ALL
        .into_iter()
        .zip(slots)
        .filter(|(_, facts)| facts.state == State::Bad);
    bad.map(|(slot, facts)| {
        let which = if slot == report.slot {
            "the running"
        } else {
            "the other"
        };
        problem(
            format!("{which} slot {slot} ({}) is bad: {}", facts.version, word(facts.reason)),
            "there is nothing to fall back to until an update or an installation writes it anew",
        )
    })
    .collect()
}

fn of_room(report: &Report) -> Vec<Problem> {
    let mut found = Vec::new();
    if let Some(disk) = report.disk.filter(|disk| disk.is_below(LOW_DISK)) {
        found.push(problem(
            format!(
                "the state partition is nearly full: {} of {} left",
                size(disk.available),
                size(disk.total)
            ),
            "remove images or volumes that nobody uses, or give the machine a larger disk",
        ));
    }
    if let Some(memory) = report.memory.filter(|memory| memory.is_below(LOW_MEMORY)) {
        found.push(problem(
            format!(
                "memory is short: {} of {} left",
                size(memory.available),
                size(memory.total)
            ),
            "give containers a limit, or the machine more memory",
        ));
    }
    found
}

fn of_network(report: &Report) -> Vec<Problem> {
    let flag = |pointer: &str| report.network.pointer(pointer).and_then(Json::as_bool);
    let mut found = Vec::new();
    if report.uptime >= ADDRESS_WITHIN && flag("/online") == Some(false) {
        found.push(problem(
            "there is no network: no link has an address",
            "look at the cable or the DHCP server; logs --unit netd",
        ));
    }
    if report.uptime >= CLOCK_WITHIN && flag("/time/synchronised") == Some(false) {
        let why = report.network.pointer("/time/problem").and_then(Json::as_str);
        found.push(problem(
            format!("no server has set the clock: {}", why.unwrap_or("none has answered")),
            "name servers that can be reached under [time] of the configuration, or let UDP port 123 out",
        ));
    }
    found
}

fn of_containers(report: &Report) -> Vec<Problem> {
    let Some(containers) = &report.containers else {
        return vec![problem(
            "the container engine does not answer",
            "logs --unit runtimed --boot; then services restart runtimed",
        )];
    };
    let failing = || {
        let all = report.declared.iter();
        all.filter_map(|(name, standing)| Some((name, standing.failure.as_ref()?)))
    };
    let ailing = containers
        .iter()
        .filter(|container| matches!(container.state.as_str(), "restarting" | "dead"))
        .filter(|container| failing().all(|(name, _)| *name != container.name));
    let ailing = ailing.map(|container| {
        let name = &container.name;
        problem(
            format!("container {name} does not stay up: {}", container.status),
            format!("logs --container {name}"),
        )
    });
    failing()
        .map(|(name, failure)| of_declared(name, failure))
        .chain(ailing)
        .collect()
}

/// A declared container that cannot be had. The engine goes on trying.
fn of_declared(name: &str, failure: &Failure) -> Problem {
    let next = match failure.step {
        FailedStep::Pull => format!(
            "correct `image` of [container.{name}], its registry's [registry.\"HOST\"], or the way there; \
             it is tried again by itself"
        ),
        FailedStep::Name => format!("remove or rename the other one: docker -H ssh://core@HOST rename {name} OTHER"),
        FailedStep::Start | FailedStep::Other => {
            format!("correct [container.{name}] in the document; logs --unit runtimed says more")
        }
    };
    problem(
        format!("the declared container {name} does not run: {}", failure.reason),
        next,
    )
}
