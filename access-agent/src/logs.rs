//! `keelson logs`: a question to the journal, and its answer passed on as it comes. `docs/formats/journal-query.md`.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use keelson_image_layout::paths;
use serde_json::{Value as Json, json};

use crate::answer::{complain, exit};
use crate::command::Logs;
use crate::machine::Machine;

/// Entries shown before following, and without any filter.
const BEFORE_FOLLOWING: usize = 10;
const WITHOUT_FILTER: usize = 200;
/// How the journal begins an answer that is none.
const REFUSAL: &[u8] = b"error: ";

/// Shows entries.
///
/// # Errors
/// The journal cannot be asked, or does not understand the question.
pub fn logs(machine: &Machine, wanted: &Logs) -> anyhow::Result<u8> {
    let mut answer = ask(machine, &question(wanted, Timestamp::now()))?;
    let first = answer.fill_buf().context("read the journal's answer")?;
    if first.starts_with(REFUSAL) {
        let mut line = String::new();
        answer
            .take(4096)
            .read_line(&mut line)
            .context("read the journal's answer")?;
        bail!("the journal answers: {}", line.trim_end());
    }
    if first.is_empty() {
        complain("keelson: no entry answers that\n");
    }
    pass_on(answer)?;
    if is_unfiltered(wanted) && !wanted.json && !wanted.export {
        complain(&format!(
            "keelson: these are the last {WITHOUT_FILTER} entries; --boot, --since and --lines show more\n"
        ));
    }
    Ok(exit::GOOD)
}

/// The last entries of a unit on this boot, a line each.
///
/// # Errors
/// The journal cannot be asked.
pub fn last_lines(machine: &Machine, unit: &str, count: usize) -> anyhow::Result<Vec<String>> {
    let question = json!({
        "protocol": "keelson-journal", "version": 1, "format": "short",
        "unit": unit, "boot": "current", "lines": count,
    });
    let lines = ask(machine, &question)?.lines().take(count * 4);
    lines.collect::<Result<_, _>>().context("read the journal's answer")
}

fn ask(machine: &Machine, question: &Json) -> anyhow::Result<BufReader<UnixStream>> {
    let mut socket = UnixStream::connect(machine.path(paths::JOURNAL_QUERY)).context("ask the journal")?;
    socket
        .write_all(format!("{question}\n").as_bytes())
        .context("ask the journal")?;
    Ok(BufReader::new(socket))
}

/// The line for the journal.
fn question(wanted: &Logs, now: Timestamp) -> Json {
    let format = match (wanted.json, wanted.export) {
        (true, _) => "json",
        (_, true) => "export",
        _ => "short",
    };
    let lines = wanted.lines.or(match wanted.follow {
        true => Some(BEFORE_FOLLOWING),
        false => is_unfiltered(wanted).then_some(WITHOUT_FILTER),
    });
    let mut question = json!({
        "protocol": "keelson-journal", "version": 1, "format": format,
        "follow": wanted.follow, "kernel": wanted.kernel,
        "unit": wanted.unit, "container": wanted.container, "priority": wanted.priority, "lines": lines,
        "since": wanted.since.map(|since| since.micros(now)),
        "until": wanted.until.map(|until| until.micros(now)),
    });
    let boot = match wanted.boot.as_deref() {
        None | Some("all") => None,
        Some(word @ ("current" | "previous")) => Some(("boot", word)),
        Some(id) => Some(("boot-id", id)),
    };
    if let (Some((key, value)), Some(object)) = (boot, question.as_object_mut()) {
        object.insert(key.to_owned(), value.into());
    }
    question
}

fn is_unfiltered(wanted: &Logs) -> bool {
    let Logs {
        follow,
        unit,
        container,
        kernel,
        boot,
        priority,
        since,
        until,
        lines,
        ..
    } = wanted;
    let none = unit.is_none() && container.is_none() && boot.is_none() && priority.is_none() && lines.is_none();
    none && !follow && !kernel && since.is_none() && until.is_none()
}

/// Until the journal has said all, or nobody reads any more.
fn pass_on(mut answer: BufReader<UnixStream>) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    let mut buffer = [0; 16 << 10];
    loop {
        let count = match answer.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("read the journal's answer"),
        };
        let written = output.write_all(buffer.get(..count).unwrap_or_default());
        if written.and_then(|()| output.flush()).is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    fn asked(words: &str) -> Json {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let Ok(Command::Logs(logs)) = Command::parse(&words) else {
            panic!("{words:?}")
        };
        let mut question = question(&logs, "2026-11-24T10:00:00Z".parse().unwrap());
        question.as_object_mut().unwrap().retain(|key, value| {
            !matches!(key.as_str(), "protocol" | "version") && !value.is_null() && *value != json!(false)
        });
        question
    }

    #[test]
    fn filters_become_a_question() {
        let table = [
            ("logs", json!({ "format": "short", "lines": 200 })),
            ("logs -f", json!({ "format": "short", "follow": true, "lines": 10 })),
            (
                "logs -f -n 3 --json",
                json!({ "format": "json", "follow": true, "lines": 3 }),
            ),
            (
                "logs --unit netd --export",
                json!({ "format": "export", "unit": "netd" }),
            ),
            ("logs --boot", json!({ "format": "short", "boot": "current" })),
            (
                "logs --boot previous -k",
                json!({ "format": "short", "kernel": true, "boot": "previous" }),
            ),
            (
                "logs --boot 4f1c2b3a",
                json!({ "format": "short", "boot-id": "4f1c2b3a" }),
            ),
            ("logs --boot all -p err", json!({ "format": "short", "priority": 3 })),
            (
                "logs -S -1h -U now -c web",
                json!({ "format": "short", "container": "web", "since": 1_795_510_800_000_000_u64, "until": 1_795_514_400_000_000_u64 }),
            ),
        ];
        for (words, expected) in table {
            assert_eq!(asked(words), expected, "{words}");
        }
    }
}
