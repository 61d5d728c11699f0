//! The update agent: asking it, following what it does, and telling it in words.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use keelson_image_layout::paths;
use keelson_update_api::{Connection, Progress, Refusal, Reply, Request, State, Status, ask};

use crate::answer::{complain, exit, json as to_json, say};
use crate::machine::Machine;
use crate::words::{moment, size, word};

/// It answers at once.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Longest time between two pieces of news of an update: a slow line, or a slot that is read back.
const NEWS_WITHIN: Duration = Duration::from_secs(15 * 60);

/// Where it stands.
///
/// # Errors
/// It does not answer.
pub fn status(machine: &Machine) -> Result<Status> {
    let reply = ask(&machine.path(paths::UPDATE_SOCKET), &Request::Status, ANSWERS_WITHIN)?;
    match reply {
        Reply::Status { status } => Ok(*status),
        Reply::Refused { message, .. } => bail!("{message}"),
        Reply::Accepted => bail!("the update agent gave an answer to another question"),
    }
}

/// Has it hold updates, or go on.
///
/// # Errors
/// It does not answer.
pub fn hold(machine: &Machine, on: bool, as_json: bool) -> Result<u8> {
    let reply = ask(
        &machine.path(paths::UPDATE_SOCKET),
        &Request::Hold { on },
        ANSWERS_WITHIN,
    )?;
    if let Some(code) = refused("hold", &reply) {
        return Ok(code);
    }
    let words = match on {
        true => "updates are held until `update hold off`\n",
        false => "updates go on\n",
    };
    say(&match as_json {
        true => to_json(&status(machine)?)?,
        false => words.to_owned(),
    });
    Ok(exit::GOOD)
}

/// Asks for something and tells how it goes until nothing is under way any more.
///
/// # Errors
/// It does not answer.
pub fn follow(machine: &Machine, request: &Request, as_json: bool) -> Result<u8> {
    let socket = machine.path(paths::UPDATE_SOCKET);
    let what = if *request == Request::Check { "check" } else { "apply" };
    if let Some(code) = refused(what, &ask(&socket, request, ANSWERS_WITHIN)?) {
        return Ok(code);
    }
    let mut connection = Connection::open(&socket, NEWS_WITHIN)?;
    connection.ask(&Request::Watch)?;
    let mut before = None;
    loop {
        let status = match connection.answer() {
            Ok(Reply::Status { status }) => status,
            Ok(_) => bail!("the update agent gave an answer to another question"),
            // Its last words may be lost when the machine goes down, for which it asked itself.
            Err(_) if machine.path(paths::SHUTTING_DOWN).exists() => return Ok(goes_down(as_json)),
            Err(error) => return Err(error).context("follow the update"),
        };
        let line = step(&status);
        if !as_json && before.as_ref() != Some(&line) {
            say(&line);
        }
        before = Some(line);
        if !is_under_way(&status) {
            if as_json {
                say(&to_json(&status)?);
            }
            return Ok(code(request, &status));
        }
    }
}

fn goes_down(as_json: bool) -> u8 {
    if !as_json {
        say("rebooting\n");
    }
    exit::GOOD
}

fn refused(what: &str, reply: &Reply) -> Option<u8> {
    let Reply::Refused { refusal, message } = reply else {
        return None;
    };
    complain(&format!("keelson: update {what}: {message}\n"));
    Some(match refusal {
        Refusal::NotAllowed => exit::NOT_ALLOWED,
        _ => exit::BAD,
    })
}

const fn is_under_way(status: &Status) -> bool {
    matches!(
        status.state,
        State::Checking | State::Downloading | State::Writing | State::Verifying
    ) || matches!(status.state, State::Staged) && status.why.is_none()
}

/// A check is well when the repository could be believed; an update, when the machine goes down for it or nothing newer
/// is there.
fn code(request: &Request, status: &Status) -> u8 {
    let failures = ["signature", "time", "network", "unsound", "room", "machine"];
    let failed = status
        .why
        .as_ref()
        .is_some_and(|why| failures.contains(&why.kind.as_str()));
    let waits = *request == Request::Apply && status.why.is_some();
    if failed || waits { exit::BAD } else { exit::GOOD }
}

/// One line while it goes on: a new one for each step and each tenth.
fn step(status: &Status) -> String {
    let version = status.offer.as_ref().map_or("", |offer| offer.version.as_str());
    let tenths = status.progress.map(|progress| percent(&progress) / 10 * 10);
    let far = tenths.map_or(String::new(), |tenths| format!(" {tenths} %"));
    let why = status
        .why
        .as_ref()
        .map_or(String::new(), |why| format!(": {}", why.words));
    let words = format!("{} {version}{far}", word(status.state));
    format!("{}{why}\n", words.trim_end())
}

fn percent(progress: &Progress) -> u64 {
    match progress.total {
        0 => 0,
        total => progress.done.saturating_mul(100) / total,
    }
}

/// All of it, below the two lines on the slots.
#[must_use]
pub fn told(status: &Status) -> String {
    let mut text = String::new();
    if let (Some(channel), Some(address)) = (&status.channel, &status.address) {
        let last = status
            .last_check
            .map_or("not answered yet".to_owned(), |at| format!("answered {}", moment(at)));
        let next = status
            .next_check
            .map_or(String::new(), |at| format!(", asked again {}", moment(at)));
        text.push_str(&format!("source   {channel} at {address}, {last}{next}\n"));
    }
    text.push_str(&format!("update   {}", word(status.state)));
    if let Some(offer) = &status.offer {
        text.push_str(&format!(" {}", offer.version));
        match offer.patch {
            Some(patch) => text.push_str(&format!(", a patch of {}", size(patch))),
            None if offer.full > 0 => text.push_str(&format!(", {} in full", size(offer.full))),
            None => {}
        }
    }
    if let Some(progress) = &status.progress {
        let (done, total, fetched) = (size(progress.done), size(progress.total), size(progress.fetched));
        text.push_str(&format!(
            ": {} %, {done} of {total} written, {fetched} fetched",
            percent(progress)
        ));
    }
    text.push('\n');
    if let Some(why) = &status.why {
        text.push_str(&format!("waits    {}\n", why.words));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(more: serde_json::Value) -> Status {
        let mut whole = json!({ "format": 1, "state": "writing", "version": "1", "slot": "a", "committed": true,
            "held": false, "channel": "stable", "address": "https://h", "last_check": 1_795_520_000 });
        for (key, value) in more.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn what_and_how_far_and_why_not_yet_are_told() {
        let zeros = "0".repeat(64);
        let offer = json!({ "version": "2", "root_hash": zeros, "halted": false, "patch": 1 << 20, "full": 50 << 20 });
        let writing = status(json!({ "offer": offer, "progress": { "done": 30, "total": 120, "fetched": 7 } }));
        let text = told(&writing);
        assert!(
            text.starts_with("source   stable at https://h, answered 2026-"),
            "{text}"
        );
        assert!(text.contains("update   writing 2, a patch of 1.0 MiB: 25 %,"), "{text}");
        assert_eq!(step(&writing), "writing 2 20 %\n");
        let why = json!({ "kind": "manual", "words": "it waits to be asked for" });
        let waiting = status(json!({ "state": "waiting", "offer": offer, "why": why }));
        assert!(told(&waiting).ends_with("\nwaits    it waits to be asked for\n"));
        assert_eq!(code(&Request::Check, &waiting), exit::GOOD);
        assert_eq!(code(&Request::Apply, &waiting), exit::BAD);
    }

    #[test]
    fn it_is_followed_until_nothing_is_under_way() {
        for (state, why, expected) in [
            ("checking", None, true),
            ("writing", None, true),
            ("staged", None, true),
            ("staged", Some("halted"), false),
            ("rebooting", None, false),
            ("idle", None, false),
        ] {
            let why = why.map(|kind| json!({ "kind": kind, "words": "" }));
            let status = status(json!({ "state": state, "why": why }));
            assert_eq!(is_under_way(&status), expected, "{state}");
        }
    }
}
