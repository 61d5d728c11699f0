//! Mistakes of YAML, each explained where it stands, and what is left of the text around them.

use super::{Node, Parsed, Value, parse};
use crate::diagnostic::Code;
use crate::text::Text;

/// `LINE:COLUMN MESSAGE; CURE` for each mistake, and the names of the keys that were read.
fn read(text: &str) -> (Vec<String>, Vec<String>) {
    let mut keep = String::new();
    let Parsed { root, faults, .. } = parse(text, &mut keep, |_| true);
    let places = Text::new(text);
    let shown = faults.iter().map(|fault| {
        let place = places.place(&fault.range);
        let cure = fault.cure.as_deref().unwrap_or_default();
        format!("{}:{} {}; {cure}", place.line, place.column, fault.message)
    });
    let mut keys = Vec::new();
    if let Some(root) = &root {
        collect(root, &mut keys);
    }
    (shown.collect(), keys)
}

fn collect(node: &Node<'_>, keys: &mut Vec<String>) {
    match &node.value {
        Value::Map(map) => map.entries.iter().for_each(|entry| {
            let mark = if entry.value.value == Value::Lost { "?" } else { "" };
            keys.push(format!("{}{mark}", entry.key));
            collect(&entry.value, keys);
        }),
        Value::List(list) => list.iter().for_each(|node| collect(node, keys)),
        _ => {}
    }
}

#[test]
fn explains_mistakes_and_keeps_the_rest() {
    let mut wrong = Vec::new();
    for (text, faults, keys) in CASES {
        let (found, left) = read(text);
        if (found.join("\n").as_str(), left.join(" ").as_str()) != (*faults, *keys) {
            wrong.push(format!("{text}{found:#?} {left:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

const CASES: &[(&str, &str, &str)] = &[
    ("a: 1\nb:\n  - x\n  - c: [1, 2]\n", "", "a b c"),
    (
        "a: 1\nhostname web\nb: 2\n",
        "2:1 this line has no `:` after its key; write `hostname: VALUE`",
        "a b",
    ),
    (
        "a: \"x\nb: 2\nc: \"3\"\n",
        "1:4 this quote is not closed; close it on its line",
        "a? b c",
    ),
    ("a: [1, 2\nb: 2\n", "1:4 this `[` is not closed; add `]`", "a? b"),
    (
        "a: b: c\nd: 1\n",
        "1:5 a text with a colon and a space in it needs quotes; put the value between quotes",
        "a? d",
    ),
    (
        "a: 1\n  b: 2\nc: 3\n",
        "2:1 this line is indented deeper than the one above it, which already has a value; indent it by no space",
        "a c",
    ),
    (
        "u:\n  - n: 1\n   g: 2\n    h: 3\n",
        "3:1 this line is indented by 3 spaces, which fits none of the lines above it; indent it by 4 spaces",
        "u n",
    ),
    (
        "u:\n\tn: 1\nb: 2\n",
        "2:1 a tab stands where the line is indented; indent with spaces",
        "u b",
    ),
    (
        "a: @x\nb: 1\n",
        "1:4 a text without quotes cannot begin with `@`; put the value between quotes",
        "a? b",
    ),
    (
        "a: 'it's'\nb: 1\n",
        "1:8 something stands behind the closing quote; put all of the value between one pair of quotes; a quote inside is written twice ('') or as \\\"",
        "a? b",
    ),
    (
        "a:1\nb: 2\n",
        "1:1 a space is missing after the colon; write `a: VALUE`",
        "b",
    ),
    (
        "a: 1\na: 2\n",
        "2:1 \"a\" is defined a second time; merge the two definitions",
        "a a",
    ),
    (
        "u:\n  - n: 1\n  g: 2\nb: 1\n",
        "3:3 this key stands beside the items of a list; indent it by 4 spaces to make it part of the item, or begin it with `- `",
        "u n b",
    ),
    (
        "a: 1\n---\nb: 2\n",
        "2:1 a second document begins here; put everything into one document",
        "a",
    ),
    (
        "a: *x\nb: 1\n",
        "1:4 a text without quotes cannot begin with `*`; put the value between quotes",
        "a? b",
    ),
    ("x: &x\n  k: 1\ny:\n  <<: *x\n  l: 2\n", "", "x k y l k"),
    (
        "a: &a [*a]\n",
        "1:8 this alias stands inside of what it names; write the value out",
        "a",
    ),
    (
        "a: !vault x\n",
        "1:4 the tag `!vault` is not understood; leave the tag out",
        "a",
    ),
    (
        "a: {{ name }}\nb: 1\n",
        "1:5 the name of a key is a list or a map; a value that begins with `{` or `[` needs quotes; a template `{{ … }}` is not filled in here",
        "a b",
    ),
    (
        "a: \"\\d\"\nb: 1\n",
        "1:4 a backslash between double quotes begins an escape, and this is none; use single quotes, or write \\\\",
        "a? b",
    ),
];

#[test]
fn places_count_characters_of_any_size_and_line_end() {
    let text = "ä: 'ö'\r\nü:\r\n  - é\r\nb: ?\r\n";
    let mut keep = String::new();
    let root = parse(text, &mut keep, |_| true).root.unwrap();
    let map = root.map().unwrap();
    let spans: Vec<&str> = map.entries.iter().map(|entry| &text[entry.at.clone()]).collect();
    assert_eq!(spans, ["ä", "ü", "b"]);
    assert_eq!(&text[map.entries[0].value.span.clone()], "'ö'");
    assert_eq!(&text[map.entries[1].value.list().unwrap()[0].span.clone()], "é");
}

#[test]
fn bombs_meet_a_bound() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, of) in "bcdefghi".chars().zip("abcdefgh".chars()) {
        text += &format!("{name}: &{name} [{}]\n", format!("*{of},").repeat(9));
    }
    let deep = format!("a: {}", "[".repeat(100_000));
    let block = "- ".repeat(100_000);
    let many = "- x\n".repeat(100_000);
    for (index, text) in [&text, &deep, &block, &many].into_iter().enumerate() {
        let mut keep = String::new();
        let parsed = parse(text, &mut keep, |_| true);
        assert!(parsed.root.is_none() || index == 1, "{index}");
        assert!(parsed.faults.iter().all(|fault| fault.code == Code::Syntax) && !parsed.faults.is_empty());
    }
}
