//! `power_state`.

use serde_json::{Map, Value as Json};

use super::topics::{Field, Fields};
use super::walk::Walk;
use crate::check::Fate;
use crate::diagnostic::Code;
use crate::schema::Rule;
use crate::yaml::{Entry, Node};

/// What `power_state` may have.
pub(super) const FIELDS: Fields = &[
    ("condition", Field::Read),
    ("delay", Field::Read),
    ("message", Field::Read),
    ("mode", Field::Read),
    ("timeout", Field::Noted("the boot is complete when it is")),
];

/// The longest delay, in minutes: a day.
const MAX_DELAY: i64 = 24 * 60;

pub(super) fn power_state(walk: &mut Walk, entry: &Entry<'_>) {
    let Some(map) = walk.map(&entry.value, "power_state") else {
        return;
    };
    let fields = walk.fields(map, FIELDS, "power_state");
    let wanted = fields.get("condition").is_none_or(|entry| condition(walk, entry));
    let mut out = Map::new();
    match fields.get("mode") {
        Some(entry) => out.extend(mode(walk, &entry.value).map(|mode| ("after-boot".to_owned(), Json::from(mode)))),
        None if walk.may_be_lost("mode") => {}
        None => walk.error(
            Code::MissingKey,
            entry.at.clone(),
            "power_state",
            "`power_state` has no `mode`",
            "add `mode: reboot`, or `poweroff`",
        ),
    }
    if let Some(entry) = fields.get("delay") {
        out.extend(delay(walk, &entry.value).map(|delay| ("delay".to_owned(), Json::from(delay))));
    }
    if let Some(entry) = fields.get("message") {
        let message = walk.checked(Rule::Free(1024), &entry.value, "power_state.message");
        out.extend(message.map(|message| ("message".to_owned(), message)));
    }
    walk.draft.power = (wanted && out.contains_key("after-boot")).then_some(Json::Object(out));
}

/// Whether the machine's end is wanted at all.
fn condition(walk: &mut Walk, entry: &Entry<'_>) -> bool {
    if let Some(flag) = entry.value.flag() {
        return flag;
    }
    walk.settle(entry, Fate::Refused);
    let message = "`condition`: no command can be run: the system has neither shell nor interpreter";
    let cure = "write `true` or `false`, or leave it out";
    walk.error(
        Code::Unsupported,
        entry.value.span.clone(),
        "power_state.condition",
        message,
        cure,
    );
    false
}

fn mode(walk: &mut Walk, node: &Node<'_>) -> Option<&'static str> {
    let text = walk.text(node, "power_state.mode")?;
    match text {
        "poweroff" | "halt" => Some("power-off"),
        "reboot" => Some("reboot"),
        _ => {
            let message = format!("{text:?} is not possible here");
            let cure = "possible are poweroff, halt and reboot";
            walk.error(Code::BadWord, node.span.clone(), "power_state.mode", message, cure);
            None
        }
    }
}

/// `now`, or minutes, with or without a plus.
fn delay(walk: &mut Walk, node: &Node<'_>) -> Option<String> {
    let Some(scalar) = node.scalar() else {
        walk.wrong(node, "power_state.delay", "a number of minutes");
        return None;
    };
    let minutes = match scalar.text.as_ref() {
        "now" => Some(0),
        text => text.trim_start_matches('+').parse::<i64>().ok(),
    };
    match minutes.filter(|minutes| (0..=MAX_DELAY).contains(minutes)) {
        Some(minutes) => Some(format!("{minutes}m")),
        None => {
            let message = "this is no delay of at most a day";
            let cure = "write `now` or a number of minutes, `\"+5\"`";
            walk.error(Code::BadValue, node.span.clone(), "power_state.delay", message, cure);
            None
        }
    }
}
