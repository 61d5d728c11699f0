//! `keelson why`: why the machine last started anew, from the boot history. `docs/formats/boot-history.md`,
//! `docs/formats/operator-answers.md`.

use std::time::Duration;

use keelson_image_layout::BootFacts;
use keelson_image_layout::boot_history::{Boot, History};
use serde_json::{Value as Json, json};

use crate::answer::{exit, json as to_json, say};
use crate::command::Why;
use crate::machine::Machine;
use crate::words::{moment, span, word};

/// Tells it.
///
/// # Errors
/// This is not a Keelson machine.
pub fn why(machine: &Machine, wanted: &Why) -> anyhow::Result<u8> {
    let facts = machine.facts()?;
    let history = machine.history();
    let degraded = facts.state.degraded();
    let up = machine.uptime();
    say(&match (wanted.history, wanted.json) {
        (true, true) => to_json(&all(&history, degraded))?,
        (true, false) => lines(&history) + &note(degraded),
        (false, true) => to_json(&last(&facts, &history))?,
        (false, false) => told(&facts, &history, up) + &note(degraded),
    });
    Ok(exit::GOOD)
}

fn all(history: &History, degraded: Option<&str>) -> Json {
    let boots: Vec<&Boot> = history.boots.iter().rev().collect();
    json!({ "format": 1, "degraded": degraded, "boots": boots })
}

fn last(facts: &BootFacts, history: &History) -> Json {
    let (cause, words) = cause(facts, history);
    json!({
        "format": 1,
        "cause": cause,
        "words": words,
        "boot": current(facts, history),
        "before": history.last_ended(),
        "degraded": facts.state.degraded(),
    })
}

/// The cause in a word and in words. Without a history, the traces that the initramfs found are all there is.
fn cause(facts: &BootFacts, history: &History) -> (String, String) {
    let end = history.last_ended().and_then(|boot| boot.end.as_ref());
    match (end, &facts.previous_failure) {
        (Some(end), _) => (word(end.cause), end.words.clone()),
        (None, Some(trace)) => (trace.clone(), format!("an earlier boot left a trace of: {trace}")),
        (None, None) if facts.first_boot => ("first-boot".to_owned(), "this is the machine's first boot".to_owned()),
        (None, None) => ("unknown".to_owned(), "no earlier boot is remembered".to_owned()),
    }
}

fn current<'h>(facts: &BootFacts, history: &'h History) -> Option<&'h Boot> {
    let running = |boot: &&Boot| boot.boot_id.as_ref() == Some(&facts.boot_id);
    history.boots.iter().rev().find(running)
}

fn told(facts: &BootFacts, history: &History, up: Duration) -> String {
    let (cause, words) = cause(facts, history);
    let mut text = format!("{cause}: {words}\n");
    if let Some(before) = history.last_ended() {
        text.push_str(&format!("before    {}\n", described(before)));
    }
    let trial = if facts.trial { ", on trial" } else { "" };
    let (version, slot) = (&facts.release.version, facts.slot);
    text + &format!("this boot {version} from slot {slot}{trial}, up {}\n", span(up))
}

/// `0.1.0 from slot a, 2026-11-24T10:00:00Z, up 2 h 3 min`.
fn described(boot: &Boot) -> String {
    let mut text = format!("{} from slot {}", boot.version, boot.slot);
    if boot.boot_id.is_none() {
        return text + ", an attempt that did not come up";
    }
    if let Some(started) = boot.started {
        text.push_str(&format!(", started {}", moment(started)));
    }
    text + &lasted(boot)
}

/// Known exactly of an orderly end, else at least.
fn lasted(boot: &Boot) -> String {
    let Some(end) = &boot.end else { return String::new() };
    if let Some(ending) = &end.ending {
        return format!(", up {}", span(Duration::from_secs(ending.up)));
    }
    match (boot.started, end.last_alive) {
        (Some(started), Some(alive)) => format!(
            ", up at least {}",
            span(Duration::from_secs(alive.saturating_sub(started)))
        ),
        _ => String::new(),
    }
}

fn lines(history: &History) -> String {
    let line = |boot: &Boot| {
        let id = boot.boot_id.as_deref().unwrap_or("-");
        let id = id.get(..8).unwrap_or(id);
        let end = match &boot.end {
            Some(end) => format!("{}: {}", word(end.cause), end.words),
            None => "running".to_owned(),
        };
        format!("{id:8}  {}\n          {end}\n", described(boot))
    };
    history.boots.iter().rev().map(line).collect()
}

fn note(degraded: Option<&str>) -> String {
    degraded.map_or(String::new(), |reason| {
        format!("the state is degraded ({reason}): what happens now is forgotten at the next reboot\n")
    })
}

#[cfg(test)]
mod tests {
    use keelson_image_layout::boot_history::{Asker, Ending, Evidence, Kind};

    use super::*;

    fn facts(first: bool, failure: Option<&str>) -> BootFacts {
        let zeros = "0".repeat(64);
        serde_json::from_value(json!({
            "format": 1,
            "release": { "format": 1, "version": "0.1.0", "kernel": "6.12", "time": 0,
                "verity": { "root_hash": zeros, "salt": zeros, "data_blocks": 1 } },
            "slot": "a", "trial": true, "boot_id": "two", "first_boot": first, "previous_failure": failure,
            "disk": { "device": "", "esp": "", "slot_state": "", "state": "" },
            "state": { "mode": "memory", "reason": "no superblock" },
        }))
        .unwrap()
    }

    fn boot(id: &str) -> Boot {
        serde_json::from_value(json!({ "boot_id": id, "slot": "a", "version": "0.1.0", "started": 1_795_520_000 }))
            .unwrap()
    }

    fn after_reboot() -> History {
        let ending = Ending {
            boot_id: "one".to_owned(),
            kind: Kind::Reboot,
            asker: Asker::request(
                Some("access".to_owned()),
                Some("core".to_owned()),
                Some("new kernel".to_owned()),
            ),
            at: 1_795_520_600,
            up: 600,
        };
        let mut history = History::default();
        history.begin(boot("one"), &Evidence::default());
        history.begin(
            boot("two"),
            &Evidence {
                ending: Some(&ending),
                ..Evidence::default()
            },
        );
        history
    }

    #[test]
    fn the_cause_is_told_with_who_asked() {
        let (facts, history) = (facts(false, None), after_reboot());
        let text = told(&facts, &history, Duration::from_secs(90));
        for part in [
            "asked-for: reboot was asked for by core through access: new kernel",
            "up 10 min 0 s",
            "up 1 min 30 s",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(last(&facts, &history)["cause"], "asked-for");
        assert_eq!(last(&facts, &history)["boot"]["boot_id"], "two");
        assert_eq!(all(&history, None)["boots"][0]["boot_id"], "two");
        assert!(
            lines(&history).contains("running\none       0.1.0"),
            "{}",
            lines(&history)
        );
    }

    #[test]
    fn without_a_history_what_the_initramfs_found_counts() {
        let empty = History::default();
        let table = [
            (facts(true, None), "first-boot"),
            (facts(false, None), "unknown"),
            (facts(false, Some("panic")), "panic"),
        ];
        for (facts, expected) in table {
            assert_eq!(cause(&facts, &empty).0, expected);
            assert_eq!(last(&facts, &empty)["degraded"], "no superblock");
        }
    }
}
