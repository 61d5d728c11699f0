//! Entries as text: for people, as JSON and in the journal export format.
//!
//! Source: systemd `JOURNAL_EXPORT_FORMATS`; `journalctl -o json` for the shape of values that are not text.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::entry::Entry;
use crate::query::Format;

/// What an entry looks like in a format, its line ending included.
#[must_use]
pub fn render(entry: &Entry, format: Format) -> Vec<u8> {
    match format {
        Format::Short => short(entry).into_bytes(),
        Format::Json => json(entry).into_bytes(),
        Format::Export => export(entry),
        Format::Cat => [entry.fields.get("MESSAGE").unwrap_or_default(), b"\n"].concat(),
    }
}

/// A boot's id as people and programs write it.
#[must_use]
pub fn boot_text(boot: [u8; 16]) -> String {
    boot.iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Stable name of an entry: its number and its boot.
fn cursor(entry: &Entry) -> String {
    format!("i={:x};b={}", entry.seq, boot_text(entry.boot))
}

/// The fields that are not stored as such.
fn address(entry: &Entry) -> [(&'static str, String); 4] {
    [
        ("__CURSOR", cursor(entry)),
        ("__REALTIME_TIMESTAMP", entry.realtime.to_string()),
        ("__MONOTONIC_TIMESTAMP", entry.monotonic.to_string()),
        ("_BOOT_ID", boot_text(entry.boot)),
    ]
}

/// `2026-11-24T07:58:03.123Z netd[12]: message`; control characters are shown, not sent to a terminal.
fn short(entry: &Entry) -> String {
    let microseconds = i64::try_from(entry.realtime).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_microsecond(microseconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let fields = &entry.fields;
    let who = ["CONTAINER_NAME", "SYSLOG_IDENTIFIER", "_COMM"]
        .iter()
        .find_map(|name| fields.text(name));
    let pid = ["_PID", "SYSLOG_PID"]
        .iter()
        .find_map(|name| fields.text(name))
        .map(|pid| format!("[{pid}]"));
    let message = String::from_utf8_lossy(fields.get("MESSAGE").unwrap_or_default()).into_owned();
    let message: String = message
        .chars()
        .flat_map(|character| match character {
            '\n' => "\n    ".chars().collect::<Vec<_>>(),
            '\t' => vec!['\t'],
            control if control.is_control() => control.escape_default().collect(),
            other => vec![other],
        })
        .collect();
    format!(
        "{time:.3} {}{}: {message}\n",
        who.unwrap_or("unknown"),
        pid.unwrap_or_default()
    )
}

fn json(entry: &Entry) -> String {
    let mut object = Map::new();
    for (name, value) in address(entry) {
        object.insert(name.to_owned(), Value::String(value));
    }
    for (name, value) in entry.fields.iter() {
        let value = match std::str::from_utf8(value) {
            Ok(text) => Value::String(text.to_owned()),
            Err(_) => Value::Array(value.iter().map(|byte| Value::from(*byte)).collect()),
        };
        match object.get_mut(name) {
            // A name that occurs again makes the value a list.
            Some(Value::Array(values)) if values.iter().all(Value::is_string) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => drop(object.insert(name.to_owned(), value)),
        }
    }
    format!("{}\n", Value::Object(object))
}

fn export(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + entry.fields.bytes());
    for (name, value) in address(entry) {
        out.extend(format!("{name}={value}\n").into_bytes());
    }
    for (name, value) in entry.fields.iter() {
        out.extend(name.bytes());
        let is_text = std::str::from_utf8(value).is_ok_and(|text| !text.chars().any(|c| c.is_control() && c != '\t'));
        if is_text {
            out.push(b'=');
        } else {
            out.push(b'\n');
            out.extend((value.len() as u64).to_le_bytes());
        }
        out.extend(value);
        out.push(b'\n');
    }
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(message: &[u8]) -> Entry {
        let fields = [
            ("MESSAGE", message.to_vec()),
            ("SYSLOG_IDENTIFIER", b"netd".to_vec()),
            ("_PID", b"7".to_vec()),
        ];
        Entry {
            seq: 26,
            realtime: 1_700_000_000_123_456,
            monotonic: 5,
            boot: [1; 16],
            fields: fields.into_iter().collect(),
        }
    }

    fn text(message: &[u8], format: Format) -> String {
        String::from_utf8_lossy(&render(&entry(message), format)).into_owned()
    }

    #[test]
    fn a_line_for_people_cannot_carry_terminal_codes() {
        assert_eq!(text(b"up", Format::Short), "2023-11-14T22:13:20.123Z netd[7]: up\n");
        assert_eq!(
            text(b"a\x1b[2Jb", Format::Short),
            "2023-11-14T22:13:20.123Z netd[7]: a\\u{1b}[2Jb\n"
        );
    }

    #[test]
    fn json_has_the_shape_of_journalctl() {
        let value: Value = serde_json::from_str(&text(b"up", Format::Json)).unwrap();
        assert_eq!(value["MESSAGE"], "up");
        assert_eq!(value["__REALTIME_TIMESTAMP"], "1700000000123456");
        assert_eq!(value["_BOOT_ID"], "01".repeat(16));
        let value: Value = serde_json::from_str(&text(b"\xff\x00", Format::Json)).unwrap();
        assert_eq!(value["MESSAGE"], serde_json::json!([255, 0]));
    }

    #[test]
    fn export_writes_binary_values_with_their_length() {
        let out = text(b"up", Format::Export);
        assert!(out.starts_with("__CURSOR=i=1a;b=0101"));
        assert!(out.contains("\nMESSAGE=up\n") && out.ends_with("\n\n"));
        let out = render(&entry(b"two\nlines"), Format::Export);
        let expected = b"MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\n";
        assert!(out.windows(expected.len()).any(|window| window == expected));
    }
}
