//! The machine itself: names, time, trusted authorities.

use super::access::only;
use super::topics::{Field, Fields};
use super::walk::Walk;
use crate::check::{Fate, Finding};
use crate::diagnostic::Code;
use crate::schema::Rule;
use crate::yaml::Entry;

/// What `ntp` may have.
pub(super) const TIME: Fields = &[
    ("enabled", Field::Read),
    ("servers", Field::Read),
    ("pools", Field::Read),
    ("allow", Field::Noted("the machine serves no time")),
    (
        "config",
        Field::Refused(
            "the time client has no such settings",
            "leave it out: `servers` and `pools` are all there is",
        ),
    ),
    ("ntp_client", Field::Noted("the time client is the system's own")),
    (
        "peers",
        Field::Refused("the machine serves no time", "write the peers into `servers`"),
    ),
];

/// What `ca_certs` may have.
pub(super) const AUTHORITIES: Fields = &[("remove_defaults", Field::Read), ("trusted", Field::Read)];

/// What `vendor_data` may have.
pub(super) const VENDOR_DATA: Fields = &[("enabled", Field::Read), ("prefix", Field::Noted("no command is run"))];

pub(super) fn hostname(walk: &mut Walk, entry: &Entry<'_>) {
    walk.draft.hostname = walk.checked(Rule::Hostname, &entry.value, "hostname");
}

pub(super) fn fqdn(walk: &mut Walk, entry: &Entry<'_>) {
    walk.draft.fqdn = walk.checked(Rule::Hostname, &entry.value, "fqdn");
}

pub(super) fn prefer_fqdn(walk: &mut Walk, entry: &Entry<'_>) {
    walk.draft.prefer_fqdn = walk.flag(&entry.value, "prefer_fqdn_over_hostname") == Some(true);
}

pub(super) fn preserve_hostname(walk: &mut Walk, entry: &Entry<'_>) {
    if walk.flag(&entry.value, "preserve_hostname") == Some(true) {
        walk.note(
            entry,
            "preserve_hostname",
            "the document names the machine at each boot",
        );
    }
}

pub(super) fn timezone(walk: &mut Walk, entry: &Entry<'_>) {
    walk.draft.timezone = walk.checked(Rule::Timezone, &entry.value, "timezone");
}

pub(super) fn time(walk: &mut Walk, entry: &Entry<'_>) {
    let Some(map) = walk.map(&entry.value, "ntp") else {
        return;
    };
    let fields = walk.fields(map, TIME, "ntp");
    if let Some(entry) = fields.get("enabled")
        && walk.flag(&entry.value, "ntp.enabled") == Some(false)
    {
        walk.note(entry, "ntp.enabled", "the time is always kept");
    }
    for (name, servers) in [("servers", true), ("pools", false)] {
        let Some(entry) = fields.get(name) else { continue };
        let path = format!("ntp.{name}");
        for (index, node) in walk.items(&entry.value, &path).iter().enumerate() {
            let server = walk.checked(Rule::Server, node, &format!("{path}[{index}]"));
            let list = if servers {
                &mut walk.draft.servers
            } else {
                &mut walk.draft.pools
            };
            list.extend(server);
        }
    }
}

pub(super) fn authorities(walk: &mut Walk, entry: &Entry<'_>) {
    let Some(map) = walk.map(&entry.value, &entry.key) else {
        return;
    };
    let fields = walk.fields(map, AUTHORITIES, &entry.key);
    if let Some(entry) = fields.get("remove_defaults") {
        only(
            walk,
            entry,
            false,
            "the usual authorities are always trusted",
            "leave it out",
        );
    }
    let Some(trusted) = fields.get("trusted") else { return };
    let path = format!("{}.trusted", entry.key);
    for (index, node) in walk.items(&trusted.value, &path).iter().enumerate() {
        let pem = walk.checked(Rule::Pem, node, &format!("{path}[{index}]"));
        let pem = pem.as_ref().and_then(serde_json::Value::as_str).map(str::to_owned);
        walk.draft.authorities.extend(pem);
    }
}

pub(super) fn vendor_data(walk: &mut Walk, entry: &Entry<'_>) {
    let Some(map) = walk.map(&entry.value, &entry.key) else {
        return;
    };
    let fields = walk.fields(map, VENDOR_DATA, &entry.key);
    let Some(enabled) = fields.get("enabled") else { return };
    let path = format!("{}.enabled", entry.key);
    if walk.flag(&enabled.value, &path) == Some(false) {
        walk.fates.insert(enabled.at.start, Fate::Refused);
        let message = "vendor-data cannot be switched off by the document";
        let finding = Finding::error(Code::Unsupported, enabled.value.span.clone(), &path, message);
        let cure = "leave it out: whatever the document says comes before what vendor-data say";
        walk.findings.push(finding.cure(cure));
    }
}
