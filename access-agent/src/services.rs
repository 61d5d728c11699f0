//! `keelson services`: the units of PID 1, one in detail, or a change of one. `docs/formats/operator-answers.md`.

use std::time::{Duration, Instant};

use keelson_manager_api::{Refusal, Reply, Request, UnitState, UnitStatus};
use serde_json::json;

use crate::answer::{complain, exit, json as to_json, say};
use crate::command::{ServiceRequest, nearest};
use crate::logs;
use crate::machine::Machine;
use crate::words::{columns, size, span, word};

/// A unit's start and stop have limits of their own; this is beyond all of them.
const CHANGES_WITHIN: Duration = Duration::from_secs(600);
/// The last lines of a unit's log that its detail shows.
const LAST_LINES: usize = 8;

/// Answers or carries out.
///
/// # Errors
/// PID 1 cannot be asked.
pub fn services(machine: &Machine, request: &ServiceRequest, as_json: bool) -> anyhow::Result<u8> {
    match request {
        ServiceRequest::List => list(machine, as_json),
        ServiceRequest::Show(name) => show(machine, name, as_json),
        ServiceRequest::Start(unit) => change(machine, Request::Start { unit: unit.clone() }, unit, as_json),
        ServiceRequest::Stop(unit) => change(machine, Request::Stop { unit: unit.clone() }, unit, as_json),
        ServiceRequest::Restart(unit) => change(machine, Request::Restart { unit: unit.clone() }, unit, as_json),
    }
}

fn list(machine: &Machine, as_json: bool) -> anyhow::Result<u8> {
    let units = machine.units()?;
    let now = machine.uptime();
    if as_json {
        say(&to_json(&json!({ "format": 1, "services": units }))?);
    } else {
        let rows: Vec<_> = units.iter().map(|unit| (unit.name.clone(), line(unit, now))).collect();
        say(&columns(&rows));
    }
    let failed = units.iter().any(|unit| unit.state == UnitState::Failed);
    Ok(if failed { exit::BAD } else { exit::GOOD })
}

fn line(unit: &UnitStatus, now: Duration) -> String {
    let since = span(now.saturating_sub(Duration::from_millis(unit.since_ms)));
    let state = format!("{:9} {since:>12}", word(unit.state));
    let more = unit
        .failure
        .as_ref()
        .or(unit.status.as_ref())
        .unwrap_or(&unit.description);
    format!("{state}  {more}")
}

fn show(machine: &Machine, name: &str, as_json: bool) -> anyhow::Result<u8> {
    let request = Request::Status { unit: name.to_owned() };
    let unit = match machine.ask(request, Duration::from_secs(10))? {
        Ok(Reply::Unit { unit }) => unit,
        Ok(_) => anyhow::bail!("PID 1 gave an answer to another question"),
        Err(refused) => return Ok(refuse(machine, name, refused.refusal, &refused.message, as_json)),
    };
    let memory = memory(machine, name);
    let log = logs::last_lines(machine, name, LAST_LINES).unwrap_or_default();
    if as_json {
        say(&to_json(
            &json!({ "format": 1, "service": unit, "memory": memory, "log": log }),
        )?);
    } else {
        say(&detail(&unit, machine.uptime(), memory, &log));
    }
    Ok(if unit.state == UnitState::Failed {
        exit::BAD
    } else {
        exit::GOOD
    })
}

/// Bytes its control group uses.
fn memory(machine: &Machine, name: &str) -> Option<u64> {
    machine
        .text(&format!("/sys/fs/cgroup/system/{name}/memory.current"))?
        .parse()
        .ok()
}

fn detail(unit: &UnitStatus, now: Duration, memory: Option<u64>, log: &[String]) -> String {
    let since = span(now.saturating_sub(Duration::from_millis(unit.since_ms)));
    let rows = [
        ("service", Some(format!("{}: {}", unit.name, unit.description))),
        ("kind", Some(word(unit.kind))),
        ("state", Some(format!("{} for {since}", word(unit.state)))),
        ("failure", unit.failure.clone()),
        ("says", unit.status.clone()),
        ("process", unit.main_pid.map(|pid| pid.to_string())),
        ("memory", memory.map(size)),
        ("restarts", (unit.restarts > 0).then(|| unit.restarts.to_string())),
        ("start", first_start(unit)),
    ];
    let rows: Vec<_> = rows
        .into_iter()
        .filter_map(|(title, text)| Some((title.to_owned(), text?)))
        .collect();
    let log: String = log.iter().map(|line| format!("  {line}\n")).collect();
    columns(&rows) + if log.is_empty() { "" } else { "log\n" } + &log
}

fn first_start(unit: &UnitStatus) -> Option<String> {
    let (started, up) = (unit.started_us?, unit.up_us?);
    let (at, took) = (
        Duration::from_micros(started),
        Duration::from_micros(up.saturating_sub(started)),
    );
    Some(format!(
        "{:.3} s after the kernel, took {:.3} s",
        at.as_secs_f64(),
        took.as_secs_f64()
    ))
}

fn change(machine: &Machine, request: Request, name: &str, as_json: bool) -> anyhow::Result<u8> {
    let begun = Instant::now();
    let done = match request {
        Request::Stop { .. } => "is stopped",
        Request::Start { .. } => "is up",
        _ => "is up again",
    };
    if let Err(refused) = machine.ask(request, CHANGES_WITHIN)? {
        return Ok(refuse(machine, name, refused.refusal, &refused.message, as_json));
    }
    let took = begun.elapsed();
    if as_json {
        let answer = json!({ "format": 1, "service": name, "done": true, "seconds": took.as_secs_f64() });
        say(&to_json(&answer)?);
    } else {
        say(&format!("{name} {done} ({})\n", span(took)));
    }
    Ok(exit::GOOD)
}

/// Says why not, and gives the code for it.
fn refuse(machine: &Machine, name: &str, refusal: Refusal, message: &str, as_json: bool) -> u8 {
    if as_json {
        let answer = json!({ "format": 1, "service": name, "done": false, "refusal": refusal, "message": message });
        say(&to_json(&answer).unwrap_or_default());
    }
    match refusal {
        Refusal::NoSuchUnit => {
            complain(&format!("keelson: {}\n", unknown(machine, name)));
            exit::USAGE
        }
        Refusal::NotAllowed => {
            complain(&format!("keelson: {name}: not allowed: {message}\n"));
            exit::NOT_ALLOWED
        }
        _ => {
            complain(&format!(
                "keelson: {name}: {message}\nnext: logs --unit {name} --boot\n"
            ));
            exit::BAD
        }
    }
}

fn unknown(machine: &Machine, name: &str) -> String {
    let units = machine.units().unwrap_or_default();
    let names: Vec<&str> = units.iter().map(|unit| unit.name.as_str()).collect();
    let near = nearest(name, &names).map_or(String::new(), |near| format!("; did you mean {near}?"));
    format!("there is no service {name:?}{near}")
}
