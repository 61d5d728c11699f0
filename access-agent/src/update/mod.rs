//! `keelson update`: the two releases of the machine, those it ran before, what the update agent does, and going back.
//! `docs/tasks/update.md`, `docs/formats/operator-answers.md`.

mod agent;

use std::time::Duration;

use keelson_image_layout::boot_history::{Boot, Cause, History};
use keelson_image_layout::{BootFacts, Reason, Slot, SlotFacts, State};
use keelson_manager_api::{Refusal, Request as ManagerRequest, UnitState, UnitStatus};
use keelson_update_api::Request;
use serde::Serialize;
use serde_json::json;

use crate::answer::{complain, exit, json as to_json, say};
use crate::command::{Hold, Update};
use crate::machine::Machine;
use crate::words::{moment, word};

/// The unit that judges a release, and the one that leaves it.
const JUDGE: &str = "mark-good";
const ROLLBACK: &str = "rollback";
/// Record and entry are written, then PID 1 begins to stop everything.
const LEFT_WITHIN: Duration = Duration::from_secs(90);

/// Answers or carries out.
///
/// # Errors
/// This is not a Keelson machine, or PID 1 does not answer.
pub fn update(machine: &Machine, wanted: &Update) -> anyhow::Result<u8> {
    match wanted {
        Update::Status { json } => status(machine, *json),
        Update::History { json } => history(machine, *json),
        Update::Check { json } => agent::follow(machine, &Request::Check, *json),
        Update::Apply { json } => agent::follow(machine, &Request::Apply, *json),
        Update::Hold { word, json } => agent::hold(machine, *word == Hold::On, *json),
        Update::Rollback => rollback(machine),
    }
}

/// What runs and what the other slot holds.
#[derive(Debug, Serialize)]
struct Status {
    format: u32,
    version: String,
    slot: Slot,
    /// `committed`, `assessing`, `failed`.
    state: &'static str,
    /// What the running release has to prove still, for people.
    waits: Option<String>,
    /// The other slot, as it was when this boot began.
    other: Option<SlotFacts>,
    /// What the update agent says; absent when it does not answer.
    agent: Option<keelson_update_api::Status>,
}

fn status(machine: &Machine, as_json: bool) -> anyhow::Result<u8> {
    let mut found = decide_status(&machine.facts()?, &machine.units()?);
    let asked = agent::status(machine);
    let agent = asked
        .as_ref()
        .map_or_else(|error| format!("agent    {error:#}\n"), agent::told);
    found.agent = asked.ok();
    say(&if as_json {
        to_json(&found)?
    } else {
        told(&found) + &agent
    });
    Ok(if found.state == "failed" { exit::BAD } else { exit::GOOD })
}

fn decide_status(facts: &BootFacts, units: &[UnitStatus]) -> Status {
    let judge = units.iter().find(|unit| unit.name == JUDGE);
    let state = match judge.map(|unit| unit.state) {
        Some(UnitState::Done) => "committed",
        Some(UnitState::Failed) => "failed",
        _ => "assessing",
    };
    let waits = judge.and_then(|unit| unit.failure.clone().or_else(|| unit.status.clone()));
    let other = |slots: &[SlotFacts; 2]| slots.get(facts.slot.other().index()).cloned();
    Status {
        format: 1,
        version: facts.release.version.clone(),
        slot: facts.slot,
        state,
        waits: waits.filter(|_| state != "committed"),
        other: facts.slots.as_ref().and_then(other),
        agent: None,
    }
}

fn told(status: &Status) -> String {
    let waits = status
        .waits
        .as_ref()
        .map_or(String::new(), |waits| format!(": {waits}"));
    let running = format!(
        "running  {} from slot {}, {}{waits}\n",
        status.version, status.slot, status.state
    );
    let Some(other) = &status.other else {
        return running + "other    the slot-state record cannot be read\n";
    };
    let given_up = match (other.state, other.reason) {
        (State::Bad, reason) => format!(", given up: {}", reason_word(reason)),
        _ => String::new(),
    };
    let version = if other.version.is_empty() {
        "nothing"
    } else {
        &other.version
    };
    running
        + &format!(
            "other    {version} in slot {}, {}{given_up}\n",
            status.slot.other(),
            word(other.state)
        )
}

const fn reason_word(reason: Reason) -> &'static str {
    match reason {
        Reason::None | Reason::Other => "for a reason that is not known",
        Reason::Corruption => "its root is damaged",
        Reason::Panic => "its kernel gave up",
        Reason::Watchdog => "it hung",
        Reason::Health => "it did not become healthy",
        Reason::Tries => "it did not come up in any of its tries",
        Reason::Replaced => "by an operator or another release",
    }
}

/// Boots of one release in a row.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Release {
    version: String,
    slot: Slot,
    /// Seconds since 1970.
    since: Option<u64>,
    /// Boots that are remembered of it.
    boots: usize,
    /// Why its last boot ended; absent for the running one.
    cause: Option<Cause>,
    words: Option<String>,
}

fn history(machine: &Machine, as_json: bool) -> anyhow::Result<u8> {
    let releases = releases(&machine.history());
    if as_json {
        say(&to_json(&json!({ "format": 1, "releases": releases }))?);
    } else {
        say(&releases.iter().map(line).collect::<String>());
    }
    Ok(exit::GOOD)
}

/// The newest first.
fn releases(history: &History) -> Vec<Release> {
    let same = |one: &Boot, next: &Boot| (&one.version, one.slot) == (&next.version, next.slot);
    let release = |boots: &[Boot]| {
        let (first, last) = (boots.first()?, boots.last()?);
        Some(Release {
            version: first.version.clone(),
            slot: first.slot,
            since: boots.iter().find_map(|boot| boot.started),
            boots: boots.len(),
            cause: last.end.as_ref().map(|end| end.cause),
            words: last.end.as_ref().map(|end| end.words.clone()),
        })
    };
    let mut releases: Vec<Release> = history.boots.chunk_by(same).filter_map(release).collect();
    releases.reverse();
    releases
}

fn line(release: &Release) -> String {
    let since = release.since.map_or("an unknown time".to_owned(), moment);
    let end = match (&release.cause, &release.words) {
        (Some(cause), Some(words)) => format!("left: {}: {words}", word(cause)),
        _ => "running".to_owned(),
    };
    let boots = crate::words::count(release.boots, "boot");
    format!(
        "{} from slot {}, since {since}, {boots}\n          {end}\n",
        release.version, release.slot
    )
}

/// PID 1 starts the unit that does it; the machine going down before it has answered is an answer.
fn rollback(machine: &Machine) -> anyhow::Result<u8> {
    let unit = ROLLBACK.to_owned();
    let Err(refused) = machine.ask(ManagerRequest::Start { unit }, LEFT_WITHIN)? else {
        return Ok(going_back());
    };
    if refused.refusal == Refusal::ShuttingDown {
        return Ok(going_back());
    }
    complain(&format!(
        "keelson: update rollback: {}; logs --unit {ROLLBACK} says why\n",
        refused.message
    ));
    Ok(match refused.refusal {
        Refusal::NotAllowed => exit::NOT_ALLOWED,
        _ => exit::BAD,
    })
}

fn going_back() -> u8 {
    say("rollback: the running release is given up, the machine reboots into the other slot.\n");
    exit::GOOD
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    fn facts(other: Json) -> BootFacts {
        let zeros = "0".repeat(64);
        let own = json!({ "state": "trial", "tries": 2, "reason": "none", "version": "2" });
        serde_json::from_value(json!({
            "format": 1,
            "release": { "format": 1, "version": "2", "kernel": "6.12", "time": 0,
                "verity": { "root_hash": zeros, "salt": zeros, "data_blocks": 1 } },
            "slot": "b", "trial": true, "boot_id": "x", "first_boot": false, "slots": [other, own],
            "disk": { "device": "", "esp": "", "slot_state": "", "state": "" },
            "state": { "mode": "read-write" },
        }))
        .unwrap()
    }

    fn judge(state: &str, status: &str) -> UnitStatus {
        serde_json::from_value(json!({
            "name": JUDGE, "description": "", "kind": "oneshot", "state": state, "since_ms": 0, "restarts": 0,
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn what_runs_and_what_it_has_to_prove_is_told() {
        let good = json!({ "state": "good", "tries": 3, "reason": "none", "version": "1" });
        let status = decide_status(&facts(good), &[judge("starting", "not well: probe page: no answer")]);
        let expected = "running  2 from slot b, assessing: not well: probe page: no answer\n\
                        other    1 in slot a, good\n";
        assert_eq!(told(&status), expected);
        let bad = json!({ "state": "bad", "tries": 0, "reason": "health", "version": "3" });
        let status = decide_status(&facts(bad), &[judge("done", "well for 60 s of 60 s")]);
        let expected = "running  2 from slot b, committed\n\
                        other    3 in slot a, bad, given up: it did not become healthy\n";
        assert_eq!(told(&status), expected);
        let unread = decide_status(
            &BootFacts {
                slots: None,
                ..facts(json!({ "state": "good", "tries": 3, "reason": "none", "version": "1" }))
            },
            &[],
        );
        assert!(unread.state == "assessing" && told(&unread).ends_with("the slot-state record cannot be read\n"));
    }

    #[test]
    fn boots_of_one_release_in_a_row_are_one_line() {
        let boot = |version: &str, slot: &str, started: u64, end: Option<&str>| {
            let end = end.map(|words| json!({ "cause": "failed-health", "words": words }));
            json!({ "boot_id": started.to_string(), "slot": slot, "version": version, "started": started, "end": end })
        };
        let history: History = serde_json::from_value(json!({ "format": 1, "min_reader": 1, "boots": [
            boot("1", "a", 10, Some("power")), boot("1", "a", 20, Some("update")),
            boot("2", "b", 30, Some("probe page: no answer")), boot("1", "a", 40, None),
        ]}))
        .unwrap();
        let releases = releases(&history);
        let short: Vec<_> = releases
            .iter()
            .map(|one| (one.version.as_str(), one.boots, one.since))
            .collect();
        assert_eq!(short, [("1", 1, Some(40)), ("2", 1, Some(30)), ("1", 2, Some(10))]);
        assert!(line(&releases[1]).ends_with("left: failed-health: probe page: no answer\n"));
        assert!(line(&releases[0]).ends_with("running\n"));
    }
}
