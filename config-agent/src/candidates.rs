//! What was found as candidates for the choice: which documents there are, what each depends on, and what there is to say
//! about those that are not taken.

use keelson_machine_config::{Format, Reapply};

use crate::choose::{Candidate, Choice, InForce, choose};
use crate::generation::Generation;
use crate::keyed::Key;
use crate::source::{Found, Looked};
use crate::status::Status;
use crate::stores::Stores;

/// The documents that were found, and in the status what there is to say about the rest. Without any, metadata make
/// one; but they never take the place of a document in force.
pub fn documents(looked: Looked, in_force: Option<&Generation>, status: &mut Status) -> Vec<Found> {
    status.looked_at = looked.at;
    status.looking_ms = u64::try_from(looked.took.as_millis()).unwrap_or(u64::MAX);
    status.notes = looked.problems;
    status.notes.extend(looked.notes);
    let (mut empty, documents): (Vec<Found>, Vec<Found>) = looked.found.into_iter().partition(is_metadata_only);
    let has_document = in_force.is_some_and(|generation| !generation.provenance.metadata_only);
    let mut found = documents;
    if found.is_empty() && !has_document {
        found = empty
            .extract_if(.., |found| {
                found.meta_data.has_effect() || found.network_config.is_some()
            })
            .collect();
    }
    let empty = empty
        .iter()
        .map(|found| format!("{} has no user-data, or an empty one", found.origin));
    status.notes.extend(empty);
    status
        .notes
        .extend(found.iter().flat_map(|found| found.meta_data.notes.clone()));
    found
}

/// Whether there is no document.
pub fn is_metadata_only(found: &Found) -> bool {
    Format::detect(&found.user_data) == Format::Empty
}

/// What is in force and may hold against other documents: metadata alone do not.
fn defended<'a>(in_force: Option<&'a Generation>, found: &[Found]) -> Option<&'a Generation> {
    in_force.filter(|generation| !generation.provenance.metadata_only || found.iter().all(is_metadata_only))
}

pub fn chosen(stores: &Stores, in_force: Option<&Generation>, found: &[Found], fingerprints: &[String]) -> Choice {
    let candidates: Vec<Candidate<'_>> = found
        .iter()
        .zip(fingerprints)
        .map(|(found, fingerprint)| Candidate {
            origin: &found.origin,
            fingerprint,
        })
        .collect();
    let pinned = stores.generations.pinned();
    let held = match (defended(in_force, found), &pinned) {
        (Some(generation), _) => Some(InForce {
            origin: &generation.provenance.origin,
            // Lost values make the document worth applying again, if it is the same one.
            fingerprint: Some(generation.provenance.fingerprint.as_str()).filter(|own| {
                let there = fingerprints.iter().any(|found| found == own);
                !there || stores.secrets.holds(&generation.config)
            }),
            reapply: generation.config.policy.reapply,
        }),
        (None, Some(origin)) if in_force.is_none() => Some(InForce {
            origin,
            fingerprint: None,
            reapply: Reapply::SameSource,
        }),
        (None, _) => None,
    };
    choose(held.as_ref(), &candidates)
}

pub fn note_reported(documents: &[Found], reported: &[usize], status: &mut Status) {
    for Found { origin, .. } in reported.iter().filter_map(|i| documents.get(*i)) {
        status.notes.push(format!(
            "not allowed by the policy in force: the document from {origin}"
        ));
    }
}

/// The documents that another one comes before.
pub fn note_passed_over(documents: &[Found], taken: usize, status: &mut Status) {
    let Some(first) = documents.get(taken).map(|found| &found.origin) else {
        return;
    };
    let others = documents.iter().enumerate().filter(|(i, _)| *i != taken);
    let notes = others.map(|(_, found)| format!("{} is not used: {first} comes before it", found.origin));
    status.notes.extend(notes);
}

/// What a document depends on: its bytes, the metadata that count, and the rules that read them. Parts that are absent
/// leave no trace, so that a document keeps its fingerprint when a release learns of a further part.
pub fn fingerprint(found: &Found, key: &Key) -> String {
    let Found {
        user_data,
        meta_data,
        network_config,
        vendor_data,
        ..
    } = found;
    let hostname = meta_data.hostname.as_ref().map(ToString::to_string).unwrap_or_default();
    let keys: Vec<String> = meta_data.public_keys.iter().map(ToString::to_string).collect();
    let keys = keys.join("\n");
    let schema = keelson_machine_config::SCHEMA.to_le_bytes();
    let mut parts: Vec<&[u8]> = vec![b"document", user_data, hostname.as_bytes(), &schema];
    let network = network_config.as_ref().map(|network| network.bytes.as_slice());
    let extras = [
        (&b"keys"[..], (!keys.is_empty()).then_some(keys.as_bytes())),
        (b"network", network),
        (b"vendor", vendor_data.as_deref()),
    ];
    for (name, bytes) in extras {
        parts.extend(bytes.map(|bytes| [name, bytes]).into_iter().flatten());
    }
    key.digest(&parts)
}
