//! `users` and `groups`.

use super::draft::UserDraft;
use super::topics::{Field, Fields};
use super::walk::Walk;
use crate::check::{Fate, Finding};
use crate::diagnostic::Code;
use crate::schema::Rule;
use crate::yaml::{Entry, Node, Value};

use Field::{Noted, Read, Refused};

const NO_HOME: &str = "users have no home and no files";
const NO_PASSWORDS: &str = "nobody logs in with a password";

/// What a user may have.
pub(super) const FIELDS: Fields = &[
    ("name", Read),
    ("groups", Read),
    ("sudo", Read),
    ("ssh_authorized_keys", Read),
    (
        "create_groups",
        Noted("groups other than wheel, sudo and docker have no effect"),
    ),
    ("doas", Noted("operators are members of wheel, sudo or docker")),
    (
        "expiredate",
        Refused("accounts do not expire", "leave the user out when its time has come"),
    ),
    ("gecos", Noted("nothing shows it")),
    ("hashed_passwd", Noted(NO_PASSWORDS)),
    ("homedir", Noted(NO_HOME)),
    ("inactive", Refused("accounts cannot be disabled", "leave the user out")),
    ("lock_passwd", Noted(NO_PASSWORDS)),
    ("no_create_home", Noted(NO_HOME)),
    ("no_log_init", Noted(NO_HOME)),
    ("no_user_group", Noted("each user has a group of its own")),
    ("passwd", Noted(NO_PASSWORDS)),
    (
        "plain_text_passwd",
        Refused(
            "a password in plain text is for everyone to read, and nobody logs in with one",
            "give a key: `ssh_authorized_keys`",
        ),
    ),
    ("primary_group", Noted("each user has a group of its own")),
    ("selinux_user", Noted("there is no SELinux")),
    ("shell", Noted("there are no shells")),
    ("snapuser", Noted("there are no snaps")),
    (
        "ssh_import_id",
        Refused(
            "keys are not fetched from the network",
            "put them into `ssh_authorized_keys`",
        ),
    ),
    ("ssh_redirect_user", Noted("each user logs in under its own name")),
    ("system", Noted("users are numbered in the order of the document")),
    ("uid", Noted("users are numbered in the order of the document")),
];

/// The built-in operator, also `default`.
const OPERATOR: &str = "core";

/// The groups that mean something.
const OPERATORS: [&str; 3] = ["docker", "sudo", "wheel"];

pub(super) fn users(walk: &mut Walk, entry: &Entry<'_>) {
    for (index, node) in walk.items(&entry.value, "users").iter().enumerate() {
        let path = format!("users[{index}]");
        match &node.value {
            Value::Map(_) => user(walk, node, &path),
            Value::Scalar(_) => {
                let names = walk.text(node, &path).unwrap_or_default().to_owned();
                for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                    declare(walk, name, node, &path, Vec::new(), Vec::new());
                }
            }
            _ => walk.wrong(node, &path, "a name or a map"),
        }
    }
}

fn user(walk: &mut Walk, node: &Node<'_>, path: &str) {
    let Some(map) = node.map() else { return };
    let fields = walk.fields(map, FIELDS, path);
    let keys = fields
        .get("ssh_authorized_keys")
        .map(|entry| keys(walk, &entry.value, &format!("{path}.ssh_authorized_keys")));
    let mut groups = fields
        .get("groups")
        .map(|entry| member_of(walk, entry, &format!("{path}.groups")))
        .unwrap_or_default();
    if let Some(entry) = fields.get("sudo")
        && sudo(walk, entry, &format!("{path}.sudo"))
    {
        groups.push("sudo");
    }
    match fields.get("name") {
        Some(entry) => {
            let path = format!("{path}.name");
            if let Some(name) = walk.text(&entry.value, &path).map(str::to_owned) {
                declare(walk, &name, &entry.value, &path, groups, keys.unwrap_or_default());
            }
        }
        None if walk.may_be_lost("name") => walk.draft.nameless = true,
        None => {
            walk.draft.nameless = true;
            walk.error(
                Code::MissingKey,
                node.span.clone(),
                path,
                format!("`{path}` has no `name`"),
                "add `name: …`",
            );
        }
    }
}

fn declare(
    walk: &mut Walk,
    name: &str,
    node: &Node<'_>,
    path: &str,
    groups: Vec<&'static str>,
    mut keys: Vec<serde_json::Value>,
) {
    if name == "default" || name == OPERATOR {
        return walk.draft.keys.append(&mut keys);
    }
    if name == "root" {
        let cure = "give the keys to `core`, the operator";
        return walk.error(Code::Unsupported, node.span.clone(), path, "root never logs in", cure);
    }
    if let Some(earlier) = walk.draft.users.iter().find(|user| user.name == name) {
        let message = format!("the user {name:?} is declared twice");
        let finding = Finding::error(Code::Repeated, node.span.clone(), path, message);
        let finding = finding
            .cure("merge the two")
            .related("first declared here", earlier.at.clone());
        return walk.findings.push(finding);
    }
    if walk.checked_text(Rule::UserName, name, &node.span, path).is_some() {
        walk.draft.users.push(UserDraft {
            name: name.to_owned(),
            at: node.span.clone(),
            groups,
            keys,
        });
    }
}

/// Public keys, one a line or entry.
pub(super) fn keys(walk: &mut Walk, node: &Node<'_>, path: &str) -> Vec<serde_json::Value> {
    let mut out = Vec::new();
    for (index, node) in walk.items(node, path).iter().enumerate() {
        out.extend(walk.checked(Rule::SshKey, node, &format!("{path}[{index}]")));
    }
    out
}

/// The groups among a user's that make it an operator; the others are noted.
fn member_of(walk: &mut Walk, entry: &Entry<'_>, path: &str) -> Vec<&'static str> {
    let mut out = Vec::new();
    for node in walk.items(&entry.value, path) {
        let text = walk.text(node, path).unwrap_or_default().to_owned();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match operators(name) {
                Some(group) => out.push(group),
                None => without_effect(walk, name, node, path),
            }
        }
    }
    out
}

fn operators(name: &str) -> Option<&'static str> {
    OPERATORS.into_iter().find(|group| *group == name)
}

fn without_effect(walk: &mut Walk, group: &str, node: &Node<'_>, path: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if !group.chars().all(plain) {
        let message = format!("{group:?} cannot be a group's name");
        return walk.error(
            Code::BadName,
            node.span.clone(),
            path,
            message,
            "name one group, or several with commas",
        );
    }
    let message = format!("the group {group:?} has no effect here: only wheel, sudo and docker do");
    walk.findings
        .push(Finding::warning(Code::NoEffect, node.span.clone(), path, message));
}

/// Whether a rule for sudo makes the user an operator: if it allows everything.
fn sudo(walk: &mut Walk, entry: &Entry<'_>, path: &str) -> bool {
    if entry.value.value == Value::Null || entry.value.flag() == Some(false) {
        return false;
    }
    let mut all = false;
    for node in walk.items(&entry.value, path) {
        let rule = walk.text(node, path).unwrap_or_default();
        if rule.trim_end().ends_with("ALL") {
            all = true;
        } else if !rule.is_empty() {
            let message = "this rule has no effect here: whoever may do everything is an operator, others only look";
            walk.findings
                .push(Finding::warning(Code::NoEffect, node.span.clone(), path, message));
        }
    }
    all
}

pub(super) fn groups(walk: &mut Walk, entry: &Entry<'_>) {
    if entry.value.map().is_some() {
        return group_map(walk, &entry.value);
    }
    for node in walk.items(&entry.value, "groups") {
        match &node.value {
            Value::Map(_) => group_map(walk, node),
            _ => {
                let names = walk.text(node, "groups").unwrap_or_default().to_owned();
                for name in names
                    .split(',')
                    .map(str::trim)
                    .filter(|name| operators(name).is_none() && !name.is_empty())
                {
                    without_effect(walk, name, node, "groups");
                }
            }
        }
    }
}

/// `GROUP: [MEMBER, …]`.
fn group_map(walk: &mut Walk, node: &Node<'_>) {
    for entry in node.map().into_iter().flat_map(|map| &map.entries) {
        let path = format!("groups.{}", entry.key);
        let Some(group) = operators(&entry.key).filter(|_| !entry.repeated) else {
            walk.note(entry, &path, "only wheel, sudo and docker have a meaning");
            continue;
        };
        walk.fates.insert(entry.at.start, Fate::Honoured);
        if entry.value.value == Value::Null {
            continue;
        }
        for node in walk.items(&entry.value, &path) {
            let names = walk.text(node, &path).unwrap_or_default().to_owned();
            for name in names.split(',').map(str::trim) {
                walk.draft.members.push((group, name.to_owned()));
            }
        }
    }
}
