//! The largest documents with a mistake in every line: the answer must come long before the boot's patience ends.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a failure is a failed test")]

use std::time::{Duration, Instant};

use keelson_machine_config::validate;

/// Generous: each takes a small part of it, and the machine may be busy. What is quadratic takes minutes.
const LIMIT: Duration = Duration::from_secs(15);

fn filled(head: &str, line: impl Fn(usize) -> String) -> String {
    let mut text = String::from(head);
    for i in 0.. {
        let line = line(i);
        if text.len() + line.len() + "]\n".len() > 1 << 20 {
            break;
        }
        text += &line;
    }
    text
}

/// The number of errors, once the answer was quick enough and the list short enough.
fn errors(what: &str, text: &str) -> usize {
    let start = Instant::now();
    let report = validate("t", text.as_bytes()).report;
    let took = start.elapsed();
    println!("{what}: {} bytes, {} errors, {took:?}", text.len(), report.errors());
    assert!(took < LIMIT, "{what} took {took:?}");
    assert!(report.diagnostics.len() <= 100);
    report.errors()
}

#[test]
fn a_mistake_in_every_line_is_counted() {
    let head = "schema = 1\n";
    type Line = fn(usize) -> String;
    let documents: [(&str, Line); 8] = [
        ("unknown keys", |i| format!("k{i} = 1\n")),
        ("duplicate keys", |_| "a = 1\n".to_owned()),
        ("keys twice", |i| format!("k{} = 1\n", i / 2)),
        ("no values", |i| format!("k{i} =\n")),
        ("open strings", |i| format!("k{i} = \"x\n")),
        ("open headers", |i| format!("[k{i}\n")),
        ("users", |i| format!("[[user]]\nname=\"U{i}\"\n")),
        ("secrets", |i| {
            format!("[registry.\"r{i}\"]\npassword={{secret=\"s{i}\"}}\n")
        }),
    ];
    for (what, line) in documents {
        let text = filled(head, line);
        let lines = text.lines().count();
        let errors = errors(what, &text);
        assert!(errors > lines / 4, "{what}: {errors} errors in {lines} lines");
    }
}

#[test]
fn lists_and_nesting_cost_no_more() {
    let head = "schema = 1\n[container.c]\nimage = \"x\"\n";
    let ports = filled(&format!("{head}ports = ["), |i| format!("\"{}:1\",", i % 65_536));
    errors("ports", &(ports + "]\n"));
    for (what, open) in [
        ("lists", "["),
        ("tables", "{a="),
        ("lines", "\n"),
        ("names", "a."),
        ("text", "a"),
    ] {
        errors(what, &filled("schema = 1\na = ", |_| open.to_owned()));
        errors(what, &filled("schema = 1\na = {", |_| open.to_owned()));
        errors(what, &filled("schema = 1\n", |_| open.to_owned()));
    }
    errors(
        "a line of pairs",
        &filled("schema = 1\na = {", |_| "password=\"\",".to_owned()),
    );
}
