//! Who may log in: keys of the operator, root, passwords.

use super::topics::{Field, Fields};
use super::users::keys;
use super::walk::Walk;
use crate::check::Fate;
use crate::diagnostic::Code;
use crate::yaml::Entry;

/// What `chpasswd` may have.
pub(super) const PASSWORDS: Fields = &[
    ("expire", Field::Noted("nobody logs in with a password")),
    (
        "list",
        Field::Refused(
            "nobody logs in with a password",
            "give users keys: `ssh_authorized_keys`",
        ),
    ),
    (
        "users",
        Field::Refused(
            "nobody logs in with a password",
            "give users keys: `ssh_authorized_keys`",
        ),
    ),
];

pub(super) fn core_keys(walk: &mut Walk, entry: &Entry<'_>) {
    let mut keys = keys(walk, &entry.value, "ssh_authorized_keys");
    walk.draft.keys.append(&mut keys);
}

pub(super) fn passwords(walk: &mut Walk, entry: &Entry<'_>) {
    if let Some(map) = walk.map(&entry.value, "chpasswd") {
        walk.fields(map, PASSWORDS, "chpasswd");
    }
}

pub(super) fn disable_root(walk: &mut Walk, entry: &Entry<'_>) {
    only(
        walk,
        entry,
        true,
        "root never logs in",
        "log in as `core`, the operator",
    );
}

pub(super) fn public_keys(walk: &mut Walk, entry: &Entry<'_>) {
    let cure = "give `ssh_authorized_keys` in the document: they take the place of the metadata's";
    only(walk, entry, true, "the metadata's keys cannot be switched off", cure);
}

pub(super) fn password_login(walk: &mut Walk, entry: &Entry<'_>) {
    if entry.value.text() == Some("unchanged") {
        return;
    }
    let cure = "leave it out, and give keys: `ssh_authorized_keys`";
    only(walk, entry, false, "nobody logs in with a password", cure);
}

/// A yes-or-no of which one side is how it is here, and the other cannot be.
pub(super) fn only(walk: &mut Walk, entry: &Entry<'_>, possible: bool, why: &str, cure: &str) {
    if walk.flag(&entry.value, &entry.key).is_some_and(|flag| flag != possible) {
        walk.fates.insert(entry.at.start, Fate::Refused);
        let message = format!("`{}`: {why}", entry.key);
        walk.error(Code::Unsupported, entry.value.span.clone(), &entry.key, message, cure);
    }
}
