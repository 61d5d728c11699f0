//! Entry points for fuzzing: each takes any bytes and must not panic.

use crate::json;
use crate::metadata::{DelegatedRole, Role, Root, Snapshot, Targets, Timestamp};
use crate::{Draft, Unverified};

/// `root.json`, with the check of its own signatures.
pub fn root(data: &[u8]) {
    written_again::<Root>(data);
    if let Ok(root) = Unverified::<Root>::parse(data) {
        let _ = root.verify_first();
    }
}

/// `timestamp.json`.
pub fn timestamp(data: &[u8]) {
    written_again::<Timestamp>(data);
}

/// `snapshot.json`.
pub fn snapshot(data: &[u8]) {
    written_again::<Snapshot>(data);
}

/// `targets.json`, with a search of its delegations.
pub fn targets(data: &[u8]) {
    written_again::<Targets>(data);
    let content = Draft::read::<Targets>(data).and_then(|draft| draft.content::<Targets>());
    let delegations = content.ok().and_then(|targets| targets.delegations);
    for role in delegations.iter().flat_map(|delegations| &delegations.roles) {
        let _ = DelegatedRole::covers(role, "releases/cloud/1.0/manifest.json");
    }
}

/// Canonical JSON: what can be read has one form, and that form is read as itself, unless a control character stands
/// bare in it.
pub fn canonical_json(data: &[u8]) {
    let Ok(value) = json::parse(data) else { return };
    let Ok(written) = json::canonical(&value) else { return };
    if written.iter().any(|byte| *byte < 0x20) {
        return;
    }
    let again = json::parse(&written).ok();
    assert_eq!(again.as_ref(), Some(&value));
    assert_eq!(again.and_then(|value| json::canonical(&value).ok()), Some(written));
}

/// What is understood is written as what is understood the same.
fn written_again<R: Role + serde::Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let Ok(content) = Draft::read::<R>(data).and_then(|draft| draft.content::<R>()) else {
        return;
    };
    // Members beyond the specification are dropped; only a fraction in `custom` could not be written, and none is read.
    let again = Draft::new(&content)
        .ok()
        .and_then(|draft| Draft::read::<R>(&draft.to_bytes()).ok());
    assert_eq!(again.and_then(|draft| draft.content::<R>().ok()), Some(content));
}
